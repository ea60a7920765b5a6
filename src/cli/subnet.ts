import { mkdirSync } from 'node:fs'
import { quote } from '../core/names/quote.ts'
import { err, ok, type Result } from '../core/result.ts'
import { azureSide } from '../core/subnet/azure-side.ts'
import { checkHost, type HostFinding } from '../core/subnet/host-check.ts'
import { transparentListeners } from '../core/subnet/listeners.ts'
import { type SubnetPlan, subnetPlan, TRANSPARENT_KINDS, takesFamily } from '../core/subnet/plan.ts'
import { ruleSet } from '../core/subnet/rule-set.ts'
import { type LoadedConfig, loadConfig } from '../io/config/load.ts'
import { HostRules, removeRules } from '../io/subnet/host-rules.ts'
import { Nft } from '../io/subnet/nft.ts'
import { readSysctl, writeSysctl } from '../io/subnet/sysctls.ts'
import type { WatchedSource } from '../io/subnet/watch.ts'
import { type CommandIo, counted, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'

/** As they were typed. */
export interface SubnetOptions {
  readonly config?: string
  readonly apply?: boolean
  readonly remove?: boolean
  readonly check?: boolean
  readonly watch?: boolean
  readonly sysctl?: boolean
  /** `--no-resolve`. */
  readonly resolve?: boolean
  readonly azure?: string
}

/** Names with fixed addresses, which the gateway reads too. */
const HOSTS_FILE = '/etc/hosts'

/** The rules of a host whose address is a subnet's next hop: shown, applied, looked after, removed; and what Azure needs beside them. */
export async function subnet(options: SubnetOptions, io: CommandIo): Promise<number> {
  const misuse = misuseOf(options)
  if (misuse !== undefined) return refuseUsage(misuse, io)
  if (options.remove) return remove(io)
  const file = chosenConfig(options.config, io)
  const loaded = await loadConfig(file)
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const source = sourceOf(loaded.value)
  if (!source.ok) {
    io.stderr.write(`${file}: ${source.error}\n`)
    return EXIT.config
  }
  const { plan } = source.value
  if (options.azure === 'bicep' || options.azure === 'cli') {
    io.stdout.write(azureSide(options.azure, plan, loaded.value.config))
    return EXIT.ok
  }
  const tunnels = loaded.value.config.limits.tunnels
  if (options.check) return check(source.value, tunnels, io)
  if (!options.apply) {
    io.stdout.write(ruleSet(plan))
    for (const line of [...notes(plan), ...checkHost(plan, readSysctl, tunnels).map(describeFinding)])
      io.stderr.write(`${line}\n`)
    return EXIT.ok
  }
  return apply(options, file, loaded.value, source.value, io)
}

function misuseOf({ apply, remove, check, watch, sysctl, resolve = true, azure }: SubnetOptions): string | undefined {
  const chosen = Object.entries({ apply, remove, check, azure }).flatMap(([name, value]) => (value ? [`--${name}`] : []))
  if (chosen.length > 1) return `\`${chosen[0]}\` and \`${chosen[1]}\` do not go together`
  for (const [name, value] of Object.entries({ '--watch': watch, '--sysctl': sysctl, '--no-resolve': !resolve }))
    if (value && !apply) return `\`${name}\` goes with \`--apply\``
  if (azure !== undefined && azure !== 'bicep' && azure !== 'cli')
    return `\`--azure\` is \`bicep\` or \`cli\`, found ${quote(azure)}`
  return undefined
}

function sourceOf({ config, compiled: { policy, forwardRanges } }: LoadedConfig): Result<WatchedSource, string> {
  const plan = subnetPlan(config, transparentListeners(config), forwardRanges)
  if (!plan.ok) return plan
  const { addressSeconds, refreshSeconds } = config.subnet
  return ok({ plan: plan.value, policy, addressSeconds, refreshSeconds, stateDirectory: config.stateDirectory })
}

async function remove({ stdout, stderr }: CommandIo): Promise<number> {
  const removed = await removeRules(new Nft())
  if (!removed.ok) {
    stderr.write(`sallyport: the rules cannot be removed: ${removed.error}\n`)
    return EXIT.failed
  }
  stdout.write(removed.value ? 'removed: table inet sallyport\n' : 'there was no table inet sallyport\n')
  return EXIT.ok
}

async function check(source: WatchedSource, tunnels: number, { stdout }: CommandIo): Promise<number> {
  const nft = new Nft()
  const version = await nft.version()
  const rules = version.ok ? await nft.rules() : version
  const findings: HostFinding[] = [
    ...(version.ok ? [] : [{ kind: 'missing' as const, message: version.error }]),
    ...(version.ok && !rules.ok ? [{ kind: 'missing' as const, message: rules.error }] : []),
    ...(rules.ok && rules.value === undefined
      ? [{ kind: 'missing' as const, message: 'there is no table inet sallyport: `sallyport subnet --apply`' }]
      : []),
    ...checkHost(source.plan, readSysctl, tunnels),
  ]
  for (const line of [...notes(source.plan), ...findings.map(describeFinding)]) stdout.write(`${line}\n`)
  const missing = findings.filter(({ kind }) => kind === 'missing').length
  stdout.write(missing === 0 ? 'ok\n' : `${counted(missing, 'thing')} missing\n`)
  return missing === 0 ? EXIT.ok : EXIT.failed
}

async function apply(
  { watch, sysctl = false, resolve = true }: SubnetOptions,
  file: string,
  loaded: LoadedConfig,
  source: WatchedSource,
  io: CommandIo,
): Promise<number> {
  const { stdout, stderr } = io
  const rules = new HostRules(loaded.config, HOSTS_FILE)
  try {
    const applied = await rules.apply(source, resolve)
    if (!applied.ok) {
      stderr.write(`sallyport: the rules cannot be applied: ${applied.error}\n`)
      return EXIT.failed
    }
    const { ranges, forwards } = source.plan
    stdout.write(
      `applied: table inet sallyport for ${ranges.map(({ text }) => text).join(', ')}, ${counted(forwards.length, 'exception')}, ${counted(applied.value.addresses, 'address', 'addresses')} of names\n`,
    )
    for (const problem of applied.value.problems) stderr.write(`${problem}\n`)
    for (const line of notes(source.plan)) stderr.write(`${line}\n`)
    const findings = checkHost(source.plan, readSysctl, loaded.config.limits.tunnels)
    const mended = sysctl ? findings.filter((finding) => setSysctl(finding, io)) : []
    for (const finding of findings) if (!mended.includes(finding)) stderr.write(`${describeFinding(finding)}\n`)
    if (!watch) return EXIT.ok
    mkdirSync(source.stateDirectory, { recursive: true })
    const { watchSubnet } = await import('./subnet-watch.ts')
    return await watchSubnet({ file, rules, source, found: applied.value, read: readAgain })
  } finally {
    rules.close()
  }
}

function readAgain(loaded: LoadedConfig): Result<WatchedSource, readonly string[]> {
  const source = sourceOf(loaded)
  return source.ok ? source : err([source.error])
}

/** Says each change that it makes. */
function setSysctl({ sysctl }: HostFinding, { stdout, stderr }: CommandIo): boolean {
  if (sysctl === undefined) return false
  const refusal = writeSysctl(sysctl)
  if (refusal === undefined) stdout.write(`set: ${sysctl}\n`)
  else stderr.write(`sallyport: \`${sysctl}\` cannot be set: ${refusal}\n`)
  return refusal === undefined
}

function describeFinding({ kind, message, sysctl }: HostFinding): string {
  const mend = sysctl === undefined ? '' : `; sysctl -w ${sysctl}`
  return `${kind === 'missing' ? 'missing' : 'advice'}: ${message}${mend}`
}

/** What of the subnet's TCP is dropped because nothing listens for it. */
function notes({ listeners, ranges }: SubnetPlan): string[] {
  return ([4, 6] as const).flatMap((family) => {
    if (!ranges.some(({ network }) => network.family === family)) return []
    const without = TRANSPARENT_KINDS.filter((kind) => {
      const listener = listeners[kind]
      return listener === undefined || !takesFamily(listener, family)
    })
    if (without.length === 0) return []
    const keys = without.map((kind) => `\`listen.transparent.${kind}\``).join(', ')
    return [
      `note: TCP of IPv${family} is dropped where it would go to ${keys}: not there, not for IPv${family}, or only for the PROXY protocol`,
    ]
  })
}
