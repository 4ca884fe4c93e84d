# shellcheck shell=sh disable=SC2154
# What the scripts share; sourced, with $root set to the checkout's folder.

# Pythons for which every locked package has a wheel, the system's own first (docs/adr/0001-fastecdsa-override.md).
find_python() {
    for python in python3 python3.13 python3.12 python3.11; do
        if "$python" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            return
        fi
    done
    echo "p2pchat: Python 3.11, 3.12 or 3.13 is needed; install it: sudo apt install python3 python3-venv" >&2
    exit 69
}

# Build .venv if need be, then become its Python with the given arguments. The first argument may be --dev.
bootstrap() {
    find_python
    exec "$python" -I "$root/scripts/bootstrap.py" "$@"
}
