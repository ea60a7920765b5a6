import { parseHost } from '../names/authority.ts'
import { quote } from '../names/quote.ts'
import { type Imported, RuleCollector } from './imported.ts'

/** A line of a `squid.conf`, cut into words. */
interface Line {
  readonly where: string
  readonly text: string
  readonly words: readonly string[]
}

/**
 * Reads a list of domains as `acl NAME dstdomain "FILE"` names it, or a `squid.conf`. `.example.com` is the name and everything under
 * it. A list becomes a rule where `http_access allow NAME` lets it out, or `allow NAME PORTS` with an `acl PORTS port`, and a deny rule
 * where `http_access deny NAME` refuses it; one that only goes with other conditions is left out. Every other line is told.
 */
export function importSquid(text: string, listName: string): Imported {
  const conf = new SquidConf()
  const loose: string[] = []
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const trimmed = raw.replace(/(?:^|\s)#.*$/, '').trim()
    if (trimmed === '') continue
    const line: Line = { where: `line ${index + 1}`, text: trimmed, words: trimmed.split(/\s+/) }
    const [directive = ''] = line.words
    if (directive === 'acl') conf.acl(line)
    else if (directive === 'http_access') conf.access(line)
    else if (/^[a-z_]+$/.test(directive) && line.words.length > 1)
      conf.collector.leave(`${line.where}: ${quote(trimmed)} is no list of domains`)
    else for (const word of line.words) loose.push(...hostOf(word, line.where, conf.collector))
  }
  if (loose.length > 0) conf.collector.add({ name: listName, hosts: loose })
  conf.finish()
  if (loose.length > 0 || conf.hasRuleWithoutPorts)
    conf.collector.leave('ports: a list of domains has none, so rules cover 80 and 443')
  return conf.collector.result
}

class SquidConf {
  readonly collector = new RuleCollector()
  readonly #lists = new Map<string, string[]>()
  readonly #ports = new Map<string, readonly number[]>()
  /** Of each list, the ports that it is allowed on; without any: those of a rule that names none. */
  readonly #allowed = new Map<string, readonly number[] | undefined>()
  readonly #denied = new Set<string>()
  /** Lists that a line names together with what cannot be carried over. */
  readonly #conditional = new Map<string, string>()
  #hasAccess = false
  /** `http_access deny all` has been read: the first line that matches counts. */
  #isOver = false
  hasRuleWithoutPorts = false

  acl({ where, words }: Line): void {
    const [, name = '', kind = '', ...values] = words
    if (kind === 'port') return this.#portAcl(name, values, where)
    if (kind !== 'dstdomain' && kind !== 'ssl::server_name') {
      this.collector.leave(`${where}: acl ${quote(name)} is of kind ${quote(kind)}; only lists of domains are read`)
      return
    }
    const hosts = this.#lists.get(name) ?? []
    this.#lists.set(name, hosts)
    for (const value of values) {
      if (value === '-n' || value === '-i' || value.startsWith('--')) continue
      if (value.startsWith('"')) this.collector.leave(`${where}: the list stands in ${value}; import that file`)
      else hosts.push(...hostOf(value, where, this.collector))
    }
  }

  #portAcl(name: string, values: readonly string[], where: string): void {
    const ports = values.map(Number).filter((port) => Number.isInteger(port) && port > 0 && port < 65_536)
    if (ports.length < values.length) this.collector.leave(`${where}: acl ${quote(name)} has ports that are no single numbers`)
    else this.#ports.set(name, [...(this.#ports.get(name) ?? []), ...ports])
  }

  access(line: Line): void {
    const [, verb = '', ...acls] = line.words
    const [name = ''] = acls
    this.#hasAccess = true
    if (this.#isOver) return this.#leaveAccess(line, 'comes after `deny all`, which leaves nothing for it')
    if (verb === 'deny' && acls.length === 1 && name === 'all') {
      this.#isOver = true
      return
    }
    if (verb === 'deny' && acls.length === 1 && this.#lists.has(name)) return void this.#denied.add(name)
    if (verb === 'allow' && this.#allow(acls)) return
    const consequence =
      verb === 'deny' ? 'what it refuses may be let out by rules here' : 'what it lets out under its conditions is not'
    this.#leaveAccess(line, `is not carried over; ${consequence}`)
    for (const acl of acls) this.#conditional.set(acl.replace(/^!/, ''), line.where)
  }

  #leaveAccess({ where, text }: Line, why: string): void {
    this.collector.leave(`${where}: ${quote(text)} ${why}`)
  }

  /** One list, alone or with ports, is what a rule can say. */
  #allow(acls: readonly string[]): boolean {
    const lists = acls.filter((acl) => this.#lists.has(acl))
    const others = acls.filter((acl) => !this.#lists.has(acl))
    const [list, ...more] = lists
    const [port, ...morePorts] = others
    const ports = port === undefined ? undefined : this.#ports.get(port)
    if (list === undefined || more.length > 0 || morePorts.length > 0 || (port !== undefined && ports === undefined)) return false
    const before = this.#allowed.get(list)
    // Once without ports, always without.
    if (!this.#allowed.has(list)) this.#allowed.set(list, ports)
    else this.#allowed.set(list, before === undefined || ports === undefined ? undefined : [...new Set([...before, ...ports])])
    return true
  }

  finish(): void {
    for (const [name, hosts] of this.#lists) {
      if (hosts.length === 0) continue
      if (this.#denied.has(name)) this.#add({ name, hosts, action: 'deny' })
      else if (this.#allowed.has(name)) {
        const ports = this.#allowed.get(name)
        this.#add({ name, hosts, ...(ports && { ports: [...ports] }) })
      } else if (this.#hasAccess) {
        const line = this.#conditional.get(name)
        const because = line === undefined ? 'no `http_access` line names it' : `${line} names it with conditions`
        this.collector.leave(`acl ${quote(name)} is left out: ${because}, and a rule would let all of it out`)
      } else this.#add({ name, hosts })
    }
    if (this.#lists.size > 0 && !this.#hasAccess)
      this.collector.leave('there is no `http_access` line: every list is taken for one that is let out')
  }

  #add(rule: Parameters<RuleCollector['add']>[0]): void {
    if (rule.ports === undefined) this.hasRuleWithoutPorts = true
    this.collector.add(rule)
  }
}

function hostOf(word: string, where: string, collector: RuleCollector): string[] {
  const wide = word.startsWith('.')
  const host = parseHost(wide ? word.slice(1) : word)
  if (host.ok && (host.value.kind === 'name' || !wide)) return [`${wide ? '*' : ''}${host.value.text.replace(/^\[|\]$/g, '')}`]
  collector.leave(`${where}: ${quote(word)} is no host`)
  return []
}
