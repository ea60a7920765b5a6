import { dirname, resolve } from 'node:path'
import type { ListenerTlsSettings } from '../../core/config/listen.ts'
import { type Config, configSchema } from '../../core/config.ts'
import { type CompiledPolicy, compilePolicy, type TagSource } from '../../core/policy/compile.ts'
import { lintExpiry, lintInspection } from '../../core/policy/lint.ts'
import { tagsNeeded } from '../../core/policy/tag-policy.ts'
import { type Problem, problem, warning } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { warnAboutSubnet } from '../../core/subnet/cross-checks.ts'
import type { ClientAccess } from '../credentials/client-access.ts'
import { type FileReads, readNow } from '../file-reads.ts'
import type { HookSource } from '../hooks/messages.ts'
import { type InspectionMaterial, loadInspection } from '../tls/inspection.ts'
import type { UpstreamWay } from '../tls/upstream-way.ts'
import { type Catalogue, readCatalogue } from './catalogue-files.ts'
import { type ConfigFiles, readConfigFiles } from './config-files.ts'
import { checkAgreement, warnAboutAdmin, warnAboutAudit, warnAboutTransparent } from './cross-checks.ts'
import { digest } from './digest.ts'
import { readHooks } from './hook-files.ts'
import { loadClientAccess } from './load-access.ts'
import type { LocatedProblem } from './located-problem.ts'
import { schemaProblems } from './schema-problems.ts'
import { readSecret, type Secret } from './secret-file.ts'
import { readTagSource } from './tag-source.ts'
import { readUpstream } from './upstream-files.ts'

export { formatProblem, type LocatedProblem, printable } from './located-problem.ts'

export interface LoadedConfig {
  /** As the caller gave it. */
  readonly file: string
  /** With every default filled in and every path absolute. */
  readonly config: Config
  readonly compiled: CompiledPolicy
  /** Absent where no file of service tags is named. */
  readonly tags: TagSource | undefined
  /** Absent without a usable CA; where a rule needs one, a warning says why. */
  readonly inspection: InspectionMaterial | undefined
  readonly access: ClientAccess
  /** The operator's own code, compiled and not yet run. */
  readonly hooks: readonly HookSource[]
  readonly warnings: readonly LocatedProblem[]
  /** Changes when the file's bytes do: 12 hexadecimal digits. */
  readonly contentHash: string
  /** Every file that was read, absolute: when one changes, all of this may. */
  readonly files: readonly string[]
  /** Parent proxies, with what it takes to use them. */
  readonly upstream: readonly UpstreamWay[]
  /** Absent where none is configured. */
  readonly adminToken: string | undefined
  /** Key of the clients' pseudonyms in the audit log; absent where none is configured. */
  readonly auditKey: string | undefined
  /** Where each rule begins, by entry id. */
  readonly rulePlaces: ReadonlyMap<string, RulePlace>
}

export interface RulePlace {
  readonly file: string
  readonly line: number
}

/**
 * From a file to a policy that can be put in force, or everything that is wrong with the file, each with its place. Nothing in
 * between: a file with one mistake gives no policy at all.
 *
 * @param reads what every file that belongs to the config is read through
 */
export async function loadConfig(
  file: string,
  reads: FileReads = readNow,
): Promise<Result<LoadedConfig, readonly LocatedProblem[]>> {
  const read = await readConfigFiles(file, reads)
  if (!read.ok) return read
  const files = read.value
  const catalogue = await readCatalogue()
  const raw = files.value ?? {}
  const parsed = configSchema.safeParse(raw, { reportInput: true })
  if (!parsed.success) {
    const problems = schemaProblems(parsed.error.issues, (path) => files.written(path))
    return err([...files.located(problems), ...files.located(errorsBeside(problems, raw, catalogue))])
  }
  const config = withAbsolutePaths(parsed.data, dirname(resolve(file)))
  const found = checkAgreement(config)
  const tags = await readServiceTags(config, catalogue, reads)
  const compiled = compilePolicy({ config, ...catalogue, tags: tags.ok ? tags.value : undefined, digest })
  if (!tags.ok) found.push(problem(['serviceTags', 'file'], tags.error))
  if (!tags.ok || found.length > 0 || !compiled.ok)
    return err(files.located([...found, ...(compiled.ok ? [] : certain(compiled.error))]))
  const token = config.admin.tokenFile === undefined ? ok(undefined) : await readSecret(config.admin.tokenFile, 'token', reads)
  if (!token.ok) return err(files.located([problem(['admin', 'tokenFile'], token.error)]))
  const auditKey =
    config.audit.hashKeyFile === undefined ? ok(undefined) : await readSecret(config.audit.hashKeyFile, 'key', reads)
  if (!auditKey.ok) return err(files.located([problem(['audit', 'hashKeyFile'], auditKey.error)]))
  const access = await loadClientAccess(config, reads)
  if (!access.ok) return err(files.located(access.error))
  const hooks = await readHooks(config.hooks.files, reads)
  if (!hooks.ok) return err(files.located(hooks.error))
  const upstream = await readUpstream(config.upstream, reads)
  if (!upstream.ok) return err(files.located(upstream.error))
  const inspection = await loadInspection(config.inspection, reads)
  const means = inspection.ok ? ok(inspection.value.authority) : inspection
  const warnings = [
    ...compiled.value.warnings,
    ...warnAboutAdmin(config),
    ...warnAboutAudit(config),
    ...access.value.warnings,
    ...warnAboutSubnet(config),
    ...warnAboutTransparent(config),
    ...lintExpiry(config, new Date().toISOString().slice(0, 10)),
    ...warnAboutSecret(['admin', 'tokenFile'], token.value),
    ...warnAboutSecret(['audit', 'hashKeyFile'], auditKey.value),
    ...upstream.value.warnings,
    ...lintInspection(compiled.value.policy, means),
  ]
  return ok({
    file,
    config,
    compiled: compiled.value,
    tags: tags.value,
    inspection: inspection.ok ? inspection.value : undefined,
    access: access.value.access,
    hooks: hooks.value.hooks,
    upstream: upstream.value.ways,
    warnings: files.located(warnings),
    contentHash: files.contentHash,
    files: [...files.names, ...namedFiles(config), ...hooks.value.inputs],
    adminToken: token.value?.secret,
    auditKey: auditKey.value?.secret,
    rulePlaces: new Map(config.rules.map(({ name }, index) => [`rule/${name}`, rulePlace(files, index)])),
  })
}

/** The file that `serviceTags.file` names, as far as this config has to do with it. */
function readServiceTags(
  config: Config,
  { editions, azure }: Catalogue,
  reads: FileReads,
): Promise<Result<TagSource | undefined, string>> {
  const { serviceTags, cloud } = config
  if (serviceTags.file === undefined) return Promise.resolve(ok(undefined))
  const needed = tagsNeeded(config, editions, azure)
  return readTagSource(serviceTags.file, { cloud, facts: azure.tags, isWanted: (name) => needed.has(name) }, reads)
}

/** A secret that others can read is still one to most; unlike the CA's key, nothing is signed with it. */
function warnAboutSecret(path: readonly string[], secret: Secret | undefined): Problem[] {
  return secret?.exposure === undefined ? [] : [warning(path, secret.exposure)]
}

/** What stands in the config file itself, whatever the files say that it names. */
export async function loadConfigShape(file: string): Promise<Result<Config, readonly LocatedProblem[]>> {
  const read = await readConfigFiles(file, readNow)
  if (!read.ok) return read
  const files = read.value
  const parsed = configSchema.safeParse(files.value ?? {}, { reportInput: true })
  if (parsed.success) return ok(withAbsolutePaths(parsed.data, dirname(resolve(file))))
  return err(files.located(schemaProblems(parsed.error.issues, (path) => files.written(path))))
}

function rulePlace(files: ConfigFiles, index: number): RulePlace {
  const { file, place } = files.place(['rules', index], 'value')
  return { file, line: place.line }
}

/** What else is wrong with a file that the schema refuses: every part without a fault of its own is judged already. */
function errorsBeside(faults: readonly Problem[], raw: unknown, catalogue: Catalogue): readonly Problem[] {
  const parsed = configSchema.safeParse(withoutFaults(raw, faults))
  if (!parsed.success) return []
  const config = parsed.data
  const compiled = compilePolicy({ config, ...catalogue, digest })
  const faulty = new Set(faults.map(({ path: [top] }) => top))
  // Beside a fault stands a default, and what disagrees with a default may agree with what was meant.
  const agreement = checkAgreement(config).filter(({ path: [top] }) => !faulty.has(top))
  const errors = compiled.ok ? [] : certain(compiled.error.filter(({ severity }) => severity === 'error'))
  return [...agreement, ...errors.filter(({ path: [top] }) => top !== 'features' || !faulty.has('editions'))]
}

/** Which features there are depends on the edition: while that is unknown, nothing can be said of them. */
function certain(problems: readonly Problem[]): readonly Problem[] {
  if (!problems.some(({ path: [top] }) => top === 'editions')) return problems
  return problems.filter(({ path: [top] }) => top !== 'features')
}

/** The file's value without the rules, or the settings of a section, that have a fault. */
function withoutFaults(raw: unknown, faults: readonly Problem[]): unknown {
  if (!isMapping(raw)) return {}
  const rest: Record<string, unknown> = structuredClone(raw)
  for (const { path } of faults) {
    const [top, key] = path.map(String)
    if (top === undefined) return {}
    const section = rest[top]
    if (path.length > 1 && isMapping(section) && key !== undefined) delete section[key]
    else delete rest[top]
  }
  return rest
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Files that the config names, beside those it is written in. */
function namedFiles({ inspection, admin, audit, credentials, listen, serviceTags, upstream }: Config): string[] {
  const { caCertificate, caKey, upstreamCa } = inspection
  const { certificate, key, clientCa, crl } = listen.proxy.tls ?? {}
  const named = [
    ...[admin.tokenFile, audit.hashKeyFile, credentials.file, serviceTags.file],
    ...[certificate, key, clientCa, crl],
    ...upstream.flatMap(({ passwordFile, ca }) => [passwordFile, ca]),
  ].filter((name) => name !== undefined)
  return [caCertificate, caKey, ...upstreamCa, ...named]
}

function absoluteFiles(tls: ListenerTlsSettings, absolute: (file: string) => string): ListenerTlsSettings {
  const { clientCa, crl } = tls
  return {
    ...tls,
    certificate: absolute(tls.certificate),
    key: absolute(tls.key),
    ...(clientCa === undefined ? {} : { clientCa: absolute(clientCa) }),
    ...(crl === undefined ? {} : { crl: absolute(crl) }),
  }
}

/** `-` is standard output and no path. */
function withAbsolutePaths(config: Config, folder: string): Config {
  const { admin, audit, credentials, hooks, inspection, listen, serviceTags, stateDirectory, upstream } = config
  const { tls } = listen.proxy
  const absolute = (file: string) => resolve(folder, file)
  return {
    ...config,
    admin: admin.tokenFile === undefined ? admin : { ...admin, tokenFile: absolute(admin.tokenFile) },
    audit: {
      ...audit,
      file: audit.file === '-' ? '-' : absolute(audit.file),
      ...(audit.hashKeyFile === undefined ? {} : { hashKeyFile: absolute(audit.hashKeyFile) }),
    },
    credentials: credentials.file === undefined ? credentials : { ...credentials, file: absolute(credentials.file) },
    listen: tls === undefined ? listen : { ...listen, proxy: { ...listen.proxy, tls: absoluteFiles(tls, absolute) } },
    hooks: { ...hooks, files: hooks.files.map(absolute) },
    inspection: {
      ...inspection,
      caCertificate: absolute(inspection.caCertificate),
      caKey: absolute(inspection.caKey),
      upstreamCa: inspection.upstreamCa.map(absolute),
    },
    serviceTags: serviceTags.file === undefined ? serviceTags : { file: absolute(serviceTags.file) },
    stateDirectory: absolute(stateDirectory),
    upstream: upstream.map((section) => ({
      ...section,
      ...(section.passwordFile === undefined ? {} : { passwordFile: absolute(section.passwordFile) }),
      ...(section.ca === undefined ? {} : { ca: absolute(section.ca) }),
    })),
  }
}
