// A ring of js-libp2p nodes in one process, whose kad-dht serves /ipfs/kad/1.0.0 as the public DHT of IPFS does; their
// keys are of the kinds that are met there. Driven by lines of JSON as node.mjs is; the first line out is the multiaddrs.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { createInterface } from 'node:readline'

const kinds = ['RSA', 'secp256k1', 'Ed25519', 'Ed25519']
const size = Number(process.argv[2])

const start = async (index) =>
  createLibp2p({
    privateKey: await generateKeyPair(kinds[index % kinds.length]),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({ protocol: '/ipfs/kad/1.0.0', clientMode: false, peerInfoMapper: passthroughMapper })
    }
  })

const nodes = await Promise.all(Array.from({ length: size }, (_, index) => start(index)))
const within = (ms) => ({ signal: AbortSignal.timeout(ms) })
for (let index = 0; index < size; index++) {
  for (const step of [1, 2]) await nodes[index].dial(nodes[(index + step) % size].getMultiaddrs(), within(5000))
}

const met = new Set()
for (const node of nodes) {
  node.addEventListener('peer:connect', (event) => {
    if (!nodes.some((other) => other.peerId.equals(event.detail))) met.add(event.detail.toString())
  })
}

const commands = {
  // who came that is not of the ring
  met: async () => [...met],
  // who provides a CID, as the first node finds it, and at which addresses
  providers: async (cid) => {
    const found = new Set()
    for await (const event of nodes[0].services.dht.findProviders(CID.parse(cid), within(15000))) {
      for (const provider of event.providers ?? []) {
        for (const address of provider.multiaddrs) found.add(`${address}`.replace(/\/p2p\/.*/, '') + `/p2p/${provider.id}`)
      }
    }
    return [...found]
  },
  provide: async (cid) => {
    for await (const _ of nodes[1].services.dht.provide(CID.parse(cid), within(15000)));
    return nodes[1].peerId.toString()
  },
  known: async () => nodes.map((node) => node.services.dht.routingTable.size)
}

console.log(JSON.stringify(nodes.map((node) => String(node.getMultiaddrs()[0]))))
for await (const line of createInterface({ input: process.stdin })) {
  const [id, command, ...rest] = JSON.parse(line)
  commands[command](...rest).then(
    (result) => console.log(JSON.stringify([id, result])),
    (error) => console.log(JSON.stringify([id, null, `${error.name}: ${error.message}`]))
  )
}
await Promise.all(nodes.map((node) => node.stop()))
process.exit(0)
