import { allListeners, clientListeners } from '../../core/config/listen.ts'
import type { Config } from '../../core/config.ts'
import { formatListenAddress, type ListenAddress } from '../../core/listen-address.ts'
import type { Host } from '../../core/names/authority.ts'
import { type IpAddress, unmapped } from '../../core/names/ip.ts'
import { isLoopback, isUnspecified } from '../../core/names/special-purpose.ts'
import { type Problem, problem, warning } from '../../core/problem.ts'
import { checkSubnet } from '../../core/subnet/cross-checks.ts'

/** What is right key by key and cannot be right together. */
export function checkAgreement(config: Config): Problem[] {
  return [
    ...checkListeners(config),
    ...checkParents(config),
    ...checkTtl(config),
    ...checkSubnet(config),
    ...checkCredentials(config),
  ]
}

/** Passwords go over the network in the clear but for TLS. */
function checkCredentials({ credentials, listen }: Config): Problem[] {
  if (credentials.file === undefined || listen.proxy.tls !== undefined || isOwnLoopback(listen.proxy.address)) return []
  return [
    problem(
      ['credentials', 'file'],
      'passwords would cross the network in the clear: give `listen.proxy` a `tls`, or let it listen on loopback',
    ),
  ]
}

/** What is said of an admin listener that others than this host can reach. */
export function warnAboutAdmin({ listen, admin }: Config): Problem[] {
  if (isOwnLoopback(listen.admin.address) || admin.tokenFile !== undefined) return []
  const shown = formatListenAddress(listen.admin)
  return [warning(['listen', 'admin'], `\`${shown}\` is not loopback and there is no \`admin.tokenFile\`: every call is refused`)]
}

/** Redirected connections arrive at the address of the interface that they came in by. */
export function warnAboutTransparent({ listen }: Config): Problem[] {
  return [...clientListeners(listen)].flatMap(([name, at]) => {
    if (name === 'proxy' || !isOwnLoopback(at.address)) return []
    return [
      warning(
        ['listen', ...name.split('.')],
        `\`${formatListenAddress(at)}\` is loopback, where no redirected connection of a subnet arrives; write \`0.0.0.0:${at.port}\` or \`[::]:${at.port}\``,
      ),
    ]
  })
}

/** A key that nothing is hashed with is a misunderstanding. */
export function warnAboutAudit({ audit }: Config): Problem[] {
  if (audit.hashKeyFile === undefined || audit.clients === 'hash') return []
  return [
    warning(
      ['audit', 'hashKeyFile'],
      `nothing is hashed with it while \`clients\` is \`${audit.clients}\`; say \`clients: hash\``,
    ),
  ]
}

/** Only the two loopback blocks themselves: an address that merely carries 127.0.0.1 inside (NAT64, 6to4) is on a network. */
export function isOwnLoopback(address: IpAddress): boolean {
  const own = unmapped(address)
  return own.family === 4 ? isLoopback(own) : own.text === '::1'
}

function checkListeners({ listen }: Config): Problem[] {
  const entries = [...allListeners(listen)]
  return entries.flatMap(([name, address], index) => {
    const earlier = entries.slice(0, index).find(([, other]) => clash(address, other))
    if (earlier === undefined) return []
    return [
      problem(
        ['listen', ...name.split('.')],
        `\`${name}\` and \`${earlier[0]}\` would listen on the same port ${address.port}; give each its own`,
      ),
    ]
  })
}

/** What a name leads to is seen when it is dialled; an address and `localhost` can be told now. */
function checkParents({ listen, upstream }: Config): Problem[] {
  return upstream.flatMap(({ proxy }, index) =>
    proxy.flatMap(({ label, host, port }) => {
      const own = [...allListeners(listen)].find(([, at]) => at.port === port && isAt(host, at))
      if (own === undefined) return []
      return [
        problem(
          ['upstream', index, 'proxy'],
          `\`${label}\` is this gateway's own listener \`${own[0]}\`: requests would come back for ever`,
        ),
      ]
    }),
  )
}

function isAt(host: Host, { address }: ListenAddress): boolean {
  const ip = host.kind === 'address' ? unmapped(host.ip) : undefined
  if (ip?.text === address.text) return true
  const isThisHost = ip === undefined ? host.text === 'localhost' : isOwnLoopback(ip)
  return isThisHost && (isUnspecified(address) || (ip === undefined && isOwnLoopback(address)))
}

function clash(a: ListenAddress, b: ListenAddress): boolean {
  if (a.port !== b.port || a.port === 0) return false
  // `::` takes IPv4 too, as Node opens it.
  const everywhere = [a, b].some(({ address }) => isUnspecified(address) && address.family === 6)
  if (everywhere) return true
  if (a.address.family !== b.address.family) return false
  return isUnspecified(a.address) || isUnspecified(b.address) || a.address.text === b.address.text
}

function checkTtl({ dns }: Config): Problem[] {
  if (dns.minTtlSeconds <= dns.maxTtlSeconds) return []
  return [
    problem(
      ['dns', 'minTtlSeconds'],
      `\`minTtlSeconds\` (${dns.minTtlSeconds}) is more than \`maxTtlSeconds\` (${dns.maxTtlSeconds})`,
    ),
  ]
}
