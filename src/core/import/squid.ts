import { parseHost } from '../names/authority.ts'
import { quote } from '../names/quote.ts'
import { type Imported, RuleCollector } from './imported.ts'

/**
 * Reads a list of domains as `acl NAME dstdomain "FILE"` names it, or the `acl ... dstdomain` lines of a `squid.conf`. `.example.com` is the
 * name and everything under it. `http_access deny NAME` makes a deny rule of a list; every other line is told.
 */
export function importSquid(text: string, listName: string): Imported {
  const collector = new RuleCollector()
  const lists = new Map<string, string[]>()
  const denied = new Set<string>()
  const loose: string[] = []
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.replace(/(?:^|\s)#.*$/, '').trim()
    if (line === '') continue
    const where = `line ${index + 1}`
    const words = line.split(/\s+/)
    const [directive = '', name = '', kind = ''] = words
    if (directive === 'acl') readAcl(words, where, lists, collector)
    else if (directive === 'http_access' && name === 'deny' && words.length === 3 && lists.has(kind)) denied.add(kind)
    else if (directive === 'http_access' && name === 'allow' && words.length === 3 && lists.has(kind)) continue
    else if (/^[a-z_]+$/.test(directive) && words.length > 1) collector.leave(`${where}: ${quote(line)} is no list of domains`)
    else for (const word of words) loose.push(...hostOf(word, where, collector))
  }
  if (loose.length > 0) collector.add({ name: listName, hosts: loose })
  for (const [name, hosts] of lists) {
    if (hosts.length > 0) collector.add({ name, hosts, ...(denied.has(name) ? { action: 'deny' as const } : {}) })
  }
  if (loose.length > 0 || lists.size > 0) collector.leave('ports: a list of domains has none, so rules cover 80 and 443')
  return collector.result
}

function readAcl(words: readonly string[], where: string, lists: Map<string, string[]>, collector: RuleCollector): void {
  const [, name = '', kind = '', ...values] = words
  if (kind !== 'dstdomain' && kind !== 'ssl::server_name') {
    collector.leave(`${where}: acl ${quote(name)} is of kind ${quote(kind)}; only lists of domains are read`)
    return
  }
  const hosts = lists.get(name) ?? []
  lists.set(name, hosts)
  for (const value of values) {
    if (value === '-n' || value === '-i' || value.startsWith('--')) continue
    if (value.startsWith('"')) collector.leave(`${where}: the list stands in ${value}; import that file`)
    else hosts.push(...hostOf(value, where, collector))
  }
}

function hostOf(word: string, where: string, collector: RuleCollector): string[] {
  const wide = word.startsWith('.')
  const host = parseHost(wide ? word.slice(1) : word)
  if (host.ok && (host.value.kind === 'name' || !wide)) return [`${wide ? '*' : ''}${host.value.text.replace(/^\[|\]$/g, '')}`]
  collector.leave(`${where}: ${quote(word)} is no host`)
  return []
}
