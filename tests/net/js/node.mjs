// A js-libp2p node whose kad-dht serves /p2pchat/kad/1.0.0, driven by lines of JSON: [id, command, ...arguments].
// Each is answered by [id, result] or [id, null, error]; the first line out is its multiaddr. It listens at the addresses
// that it is started with, relayed ones among them, and relays for others.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { createInterface } from 'node:readline'

const anything = { test: async () => {} }
const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0', ...process.argv.slice(2)] },
  transports: [tcp(), webSockets(), circuitRelayTransport()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    ping: ping(),
    relay: circuitRelayServer(),
    dht: kadDHT({
      protocol: '/p2pchat/kad/1.0.0',
      clientMode: false,
      peerInfoMapper: passthroughMapper, // the default drops loopback addresses
      validators: anything,
      selectors: { test: () => 0 }
    })
  }
})

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'))
const within = (ms) => ({ signal: AbortSignal.timeout(ms) })

const commands = {
  connect: async (address) => (await node.dial(multiaddr(address), within(5000))).remotePeer.toString(),
  closest: async (key) => {
    const found = []
    for await (const event of node.services.dht.getClosestPeers(bytes(key), within(15000))) {
      if (event.name === 'FINAL_PEER') found.push(event.peer.id.toString())
    }
    return found
  },
  // asks for what our nodes do not serve; which of them were asked, and that nobody has it
  get: async (key) => {
    const asked = new Set()
    try {
      for await (const event of node.services.dht.get(bytes(key), within(15000))) {
        if (event.name === 'VALUE') return 'found'
        if (event.name === 'SEND_QUERY') asked.add(event.to.toString())
      }
    } catch (error) {
      if (error.name !== 'NotFoundError') throw error
    }
    return [...asked]
  },
  // the round trip to whom an address names, in milliseconds, on a connection of that peer alone
  ping: async (address) => String(await node.services.ping.ping(multiaddr(address), within(5000))),
  peers: async () => node.getPeers().map(String)
}

console.log(JSON.stringify(node.getMultiaddrs().map(String)))
for await (const line of createInterface({ input: process.stdin })) {
  const [id, command, ...rest] = JSON.parse(line)
  commands[command](...rest).then(
    (result) => console.log(JSON.stringify([id, result])),
    (error) => console.log(JSON.stringify([id, null, `${error.name}: ${error.message}`]))
  )
}
await node.stop()
process.exit(0)
