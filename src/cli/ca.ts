import { resolve } from 'node:path'
import { formatHostPattern, type HostPattern, parseHostPattern } from '../core/policy/host-pattern.ts'
import { inspectedHosts } from '../core/policy/inspected-hosts.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type LoadedConfig, loadConfig } from '../io/config/load.ts'
import { printable } from '../io/config/located-problem.ts'
import { type CertificateAuthority, loadCertificateAuthority } from '../io/tls/certificate-authority.ts'
import { constraintsFor, describeConstraints } from '../io/tls/certificate-constraints.ts'
import { CA_KEY_TYPES, type CaKeyType, createCa, type NewCa } from '../io/tls/certificate-creation.ts'
import type { CaFiles } from '../io/tls/certificate-files.ts'
import { trustInstructions } from './ca-trust.ts'
import { type CommandIo, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'

/** As they were typed. */
export interface CaInitOptions {
  readonly config?: string
  readonly commonName?: string
  readonly days?: string
  readonly keyType?: string
  readonly anyHost?: boolean
  /** Besides those of the config's rules: for rules to come. */
  readonly host?: readonly string[]
  /** Instead of `inspection.caCertificate` and `caKey`: the next CA, while the current one is in use. */
  readonly certificate?: string
  readonly key?: string
}

export interface CaShowOptions {
  readonly config?: string
  /** Print what clients install, and nothing else. */
  readonly pem?: boolean
}

const DEFAULT_DAYS = 3650

/** A hundred years: past that somebody mistyped. */
const DAYS_MAX = 36_500

/** RFC 5280 Appendix A: `ub-common-name`. */
const COMMON_NAME_MAX = 64

/** Makes a CA for inspection: key, self-signed certificate, and limits to the hosts that the config has inspected. */
export async function caInit(options: CaInitOptions, io: CommandIo, now = new Date()): Promise<number> {
  const wish = readWish(options, now)
  if (!wish.ok) return refuseUsage(wish.error, io)
  const file = chosenConfig(options.config, io)
  const loaded = await loadConfig(file)
  if (!loaded.ok) return refuseConfig(loaded.error, io)

  const hosts = [...new Map([...inspectedHosts(loaded.value.compiled.policy), ...wish.value.hosts].map(byText)).values()]
  if (!wish.value.anyHost && hosts.length === 0) {
    io.stderr.write(
      'no rule has `paths` or `methods` on a port with TLS, so this CA would be good for nothing; ' +
        'write the rules first, name hosts with `--host`, or take `--any-host`\n',
    )
    return EXIT.failed
  }
  const files = filesOf(options, loaded.value)
  const constraints = wish.value.anyHost ? undefined : constraintsFor(hosts)
  const created = await createCa(files, { ...wish.value, constraints }, now)
  if (!created.ok) return refuse(created.error, io)
  const authority = await loadCertificateAuthority(files, now)
  if (!authority.ok) return refuse(authority.error.message, io)

  const lines = [
    `made ${files.caKey}: the key, readable by this user alone; whoever has it can show clients a certificate they believe`,
    `made ${files.caCertificate}: the certificate, for clients to trust`,
    ...facts(authority.value),
    '',
    `next: \`sallyport ca show --config ${file}\` says how clients come to trust it; a gateway that runs takes it over by itself`,
  ]
  io.stdout.write(`${lines.map(printable).join('\n')}\n`)
  return EXIT.ok
}

/** Shows the CA in use, and how clients come to trust it. */
export async function caShow({ config, pem = false }: CaShowOptions, io: CommandIo, now = new Date()): Promise<number> {
  const file = chosenConfig(config, io)
  const loaded = await loadConfig(file)
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const authority = await loadCertificateAuthority(filesOf({}, loaded.value), now)
  if (!authority.ok) return refuse(authority.error.message, io)
  if (pem) {
    io.stdout.write(authority.value.trustPem)
    return EXIT.ok
  }
  const missing = inspectedHosts(loaded.value.compiled.policy).filter((host) => !authority.value.permitsAll(host))
  const lines = [...facts(authority.value), ...missingLines(missing), '', ...trustInstructions(file, authority.value.hasRoot)]
  io.stdout.write(`${lines.map(printable).join('\n')}\n`)
  return EXIT.ok
}

function refuse(message: string, { stderr }: CommandIo): number {
  stderr.write(`${printable(message)}\n`)
  return EXIT.failed
}

function filesOf({ certificate, key }: CaInitOptions, { config }: LoadedConfig): CaFiles {
  const { caCertificate, caKey } = config.inspection
  return {
    caCertificate: certificate === undefined ? caCertificate : resolve(certificate),
    caKey: key === undefined ? caKey : resolve(key),
  }
}

interface Wish extends Omit<NewCa, 'constraints'> {
  readonly anyHost: boolean
  readonly hosts: readonly HostPattern[]
}

function readWish(options: CaInitOptions, now: Date): Result<Wish, string> {
  const { days: typedDays, keyType = 'p256', anyHost = false, host = [], certificate, key } = options
  const commonName = options.commonName ?? `Sallyport inspection CA ${now.toISOString().slice(0, 10)}`
  if (commonName === '' || [...commonName].length > COMMON_NAME_MAX || printable(commonName) !== commonName)
    return err(`\`--common-name\` is 1 to ${COMMON_NAME_MAX} printable characters`)
  const days = typedDays === undefined ? DEFAULT_DAYS : Number(typedDays)
  if (!Number.isInteger(days) || days < 1 || days > DAYS_MAX)
    return err(`\`--days ${typedDays}\` is not a number of days; use 1 to ${DAYS_MAX}`)
  if (!isKeyType(keyType)) return err(`\`--key-type ${keyType}\` is unknown; use ${CA_KEY_TYPES.join(', ')}`)
  if (anyHost && host.length > 0) return err('`--any-host` is for every host already; leave out `--host`')
  if ((certificate === undefined) !== (key === undefined))
    return err('`--certificate` and `--key` go together: a new certificate comes with a new key')
  const hosts: HostPattern[] = []
  for (const text of host) {
    const pattern = parseHostPattern(text)
    if (!pattern.ok) return err(`\`--host\`: ${pattern.error}`)
    hosts.push(pattern.value)
  }
  return ok({ commonName, days, keyType, anyHost, hosts })
}

function isKeyType(text: string): text is CaKeyType {
  return CA_KEY_TYPES.some((type) => type === text)
}

function byText(pattern: HostPattern): [string, HostPattern] {
  return [formatHostPattern(pattern), pattern]
}

function facts({ subject, notBefore, notAfter, fingerprint256, constraints }: CertificateAuthority): string[] {
  const limits = constraints.flatMap(describeConstraints)
  return [
    `subject      ${subject}`,
    `valid        ${notBefore.toISOString()} to ${notAfter.toISOString()}`,
    `fingerprint  SHA-256 ${fingerprint256}`,
    ...(limits.length === 0 ? ['limits       none: good for every host there is'] : limits.map(limitLine)),
    ...(limits.length === 0 ? [] : ['             (X.509 cannot limit a CA to a name without the names under it;']),
    ...(limits.length === 0 ? [] : ['             Java does not read the limits of a root)']),
  ]
}

function limitLine(limit: string, index: number): string {
  return `${index === 0 ? 'limits' : '      '}       ${limit}`
}

function missingLines(missing: readonly HostPattern[]): string[] {
  if (missing.length === 0) return []
  const hosts = missing.map(formatHostPattern).join(', ')
  return [
    '',
    `warning: rules inspect hosts that this CA is not good for, and they are refused: ${hosts}`,
    '         make a new one with `sallyport ca init`, or take their `paths` and `methods` out',
  ]
}
