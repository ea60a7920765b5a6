import { readFileSync, statSync } from 'node:fs'
import { type Hostname, parseHostname } from '../../core/names/hostname.ts'
import { type IpAddress, parseIp } from '../../core/names/ip.ts'

/** How often the file is looked at for a change. */
const CHECK_MS = 5_000

/** A hosts file is small; a larger one is not read. */
const MAX_BYTES = 1_048_576

/** `/etc/hosts`, which c-ares does not consult: names with fixed addresses, read again when the file changes. */
export class HostsFile {
  readonly #file: string
  #checkedAt = 0
  #stamp = ''
  #names: ReadonlyMap<Hostname, readonly IpAddress[]> = new Map()

  constructor(file: string) {
    this.#file = file
  }

  find(name: Hostname): readonly IpAddress[] | undefined {
    const now = performance.now()
    if (this.#stamp === '' || now - this.#checkedAt >= CHECK_MS) {
      this.#checkedAt = now
      this.#refresh()
    }
    return this.#names.get(name)
  }

  #refresh(): void {
    try {
      const { mtimeMs, size, ino } = statSync(this.#file)
      const stamp = `${mtimeMs} ${size} ${ino}`
      if (stamp === this.#stamp) return
      this.#stamp = stamp
      this.#names = size > MAX_BYTES ? new Map() : parseHosts(readFileSync(this.#file, 'utf8'))
    } catch {
      // Without the file there are no fixed names, as for every other program.
      this.#stamp = 'absent'
      this.#names = new Map()
    }
  }
}

function parseHosts(text: string): Map<Hostname, IpAddress[]> {
  const names = new Map<Hostname, IpAddress[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    const ip = parseIp(address)
    if (ip === undefined) continue
    for (const alias of aliases) {
      const name = parseHostname(alias)
      if (!name.ok) continue
      const known = names.get(name.value) ?? []
      if (!known.some(({ text }) => text === ip.text)) names.set(name.value, [...known, ip])
    }
  }
  return names
}
