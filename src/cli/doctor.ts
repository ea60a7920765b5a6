import { type Authority, formatAuthority, parseAuthority } from '../core/names/authority.ts'
import { type IpAddress, parseIp, unmapped } from '../core/names/ip.ts'
import { quote } from '../core/names/quote.ts'
import { decide } from '../core/policy/decide.ts'
import { allowedTarget, type ExactTarget, exactTargets } from '../core/policy/exact-targets.ts'
import { hintFor } from '../core/policy/hints.ts'
import type { Policy } from '../core/policy/policy.ts'
import { err, ok, type Result } from '../core/result.ts'
import { loadConfig, printable } from '../io/config/load.ts'
import { type Examination, examine } from '../io/doctor/examine.ts'
import { loadOriginTrust } from '../io/tls/inspection.ts'
import { type CommandIo, counted, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { groupAsked } from './group-asked.ts'
import { chosenConfig } from './shipped-config.ts'
import { renderTable } from './table.ts'

/** As they were typed. */
export interface DoctorOptions {
  readonly config?: string
  readonly client?: string
  readonly group?: string
  readonly host?: readonly string[]
  readonly only?: boolean
  readonly timeout?: string
  readonly json?: boolean
}

/** Gentle to name servers and origins, and still done with fifty of them in seconds. */
const AT_ONCE = 8

/** Names with fixed addresses, which the gateway reads too. */
const HOSTS_FILE = '/etc/hosts'

/** Tries to reach everything that the policy names, the way the gateway would; exit 1 where something cannot be reached. */
export async function doctor(options: DoctorOptions, io: CommandIo, hostsFile = HOSTS_FILE): Promise<number> {
  const wish = readWish(options)
  if (!wish.ok) return refuseUsage(wish.error, io)
  const loaded = await loadConfig(chosenConfig(options.config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const { config, compiled, upstream } = loaded.value
  const trust = await loadOriginTrust(config.inspection.upstreamCa)
  if (!trust.ok) {
    io.stderr.write(`${printable(trust.error.message)}\n`)
    return EXIT.config
  }
  const { client, authorities } = wish.value
  if (client !== undefined && !config.clients.allow.contains(client)) return refuseClient(client, options, io)

  const whose = groupAsked({ group: options.group }, client, loaded.value)
  if (!whose.ok) return refuseUsage(whose.error, io)
  const policy = whose.value === undefined || whose.value === 'unknown_client' ? compiled.policy : whose.value.policy
  const listed = exactTargets(policy)
  const named = authorities.map((authority) => allowedTarget(policy, authority))
  const refused = authorities.filter((_, index) => named[index] === undefined).map((authority) => refusal(policy, authority))
  const targets = distinct([...named.filter((one) => one !== undefined), ...(options.only ? [] : listed.targets)])
  const progress = progressOn(io, targets.length)
  const examined = await examine(targets, {
    config,
    policy,
    upstream,
    trust: trust.value,
    hostsFile,
    deadlineMs: wish.value.deadlineMs ?? config.limits.dialSeconds * 1000,
    atOnce: AT_ONCE,
    onDone: progress.next,
  })
  progress.end()
  const results = [...refused, ...examined]
  const failures = results.filter((one) => !one.ok)
  if (options.json) io.stdout.write(`${JSON.stringify({ ok: failures.length === 0, destinations: results }, undefined, 2)}\n`)
  else io.stdout.write(report(results, failures, options.only ? [] : listed.wildcards, client, io))
  return failures.length === 0 ? EXIT.ok : EXIT.failed
}

interface Wish {
  readonly client: IpAddress | undefined
  readonly authorities: readonly Authority[]
  readonly deadlineMs: number | undefined
}

function readWish({ client, host = [], only = false, timeout }: DoctorOptions): Result<Wish, string> {
  const address = client === undefined ? undefined : parseIp(client)
  if (client !== undefined && address === undefined)
    return err(`${quote(client)} is not an address; write it as in \`--client 10.0.0.7\``)
  const seconds = timeout === undefined ? undefined : Number(timeout)
  if (seconds !== undefined && !(seconds > 0 && seconds <= 600))
    return err(`\`--timeout\` wants seconds, more than 0 and at most 600, found ${quote(timeout ?? '')}`)
  if (only && host.length === 0) return err('`--only` is for what `--host` names; name a host')
  const authorities: Authority[] = []
  for (const text of host) {
    const authority = parseAuthority(text, 443)
    if (!authority.ok) return err(`\`--host\`: ${authority.error}`)
    authorities.push(authority.value)
  }
  return ok({
    client: address && unmapped(address),
    authorities,
    deadlineMs: seconds === undefined ? undefined : seconds * 1000,
  })
}

function distinct(targets: readonly ExactTarget[]): readonly ExactTarget[] {
  return [...new Map(targets.map((target) => [formatAuthority(target.authority), target])).values()]
}

/** A denied name is not even looked up, by the gateway or here. */
function refusal(policy: Policy, authority: Authority): Examination {
  const { host, port } = authority
  const decision = decide(policy, authority)
  if (decision.verdict !== 'deny') throw new Error('an allowed host was refused')
  const hint = hintFor(policy, authority, decision)?.text
  const entry = decision.entry?.id ?? ''
  return {
    host: host.text,
    port,
    entry,
    protocol: 'any',
    ok: false,
    reason: decision.reason,
    ...(hint === undefined ? {} : { hint }),
  }
}

/** Nothing that this client asks for gets out, so nothing is tried. */
function refuseClient({ text, family }: IpAddress, { json }: DoctorOptions, { stdout }: CommandIo): number {
  const hint = `${text} is in no range of \`clients.allow\`; add its subnet, or \`"${text}/${family === 4 ? 32 : 128}"\` for it alone`
  const reason = 'client_not_allowed'
  stdout.write(json ? `${JSON.stringify({ ok: false, client: text, reason, hint }, undefined, 2)}\n` : `${reason}: ${hint}\n`)
  return EXIT.failed
}

/** One line that is written over, where somebody looks on. */
function progressOn({ stderr }: CommandIo, all: number): { next: (done: Examination) => void; end: () => void } {
  if (stderr.columns === undefined || all === 0) return { next: () => {}, end: () => {} }
  let done = 0
  return {
    next: ({ host }) => {
      done++
      stderr.write(`\r\u001b[K${done}/${all} ${printable(host)}`)
    },
    end: () => stderr.write('\r\u001b[K'),
  }
}

function report(
  results: readonly Examination[],
  failures: readonly Examination[],
  wildcards: readonly string[],
  client: IpAddress | undefined,
  { stdout }: CommandIo,
): string {
  const rows = results.map((one) => [
    targetOf(one),
    one.ok ? 'ok' : (one.reason ?? 'failed'),
    ...[one.resolveMs, one.dialMs, one.tlsMs].map((ms) => ms?.toFixed(1) ?? '-'),
    one.address === undefined ? '' : `${one.address} (${one.addressClass})`,
  ])
  const table = renderTable(COLUMNS, rows, stdout.columns === 0 ? undefined : stdout.columns)
  const told = failures.flatMap((one) => [
    `${targetOf(one)}: ${[one.reason, one.detail].filter((text) => text !== undefined).join(': ')}`,
    ...(one.hint === undefined ? [] : [`  ${one.hint}`]),
  ])
  const tally = failures.length === 0 ? 'all reached' : `${failures.length} not reached`
  const notes = [
    ...(client === undefined ? [] : [`${client.text} may use the gateway`]),
    ...(wildcards.length === 0 ? [] : [`not tried: ${counted(wildcards.length, 'wildcard')}; \`--host\` names a host under one`]),
    `${counted(results.length, 'destination')}, ${tally}`,
  ]
  return `${results.length > 0 ? table : ''}\n${[...told, ...(told.length > 0 ? [''] : []), ...notes].map((line) => `${printable(line)}\n`).join('')}`
}

const COLUMNS = [
  { title: 'DESTINATION', leastCharacters: 30, whole: true },
  { title: 'RESULT' },
  { title: 'DNS ms' },
  { title: 'TCP ms' },
  { title: 'TLS ms' },
  { title: 'ADDRESS', leastCharacters: 15, whole: true },
]

function targetOf({ host, port }: Examination): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
