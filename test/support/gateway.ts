import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { err, ok } from '../../src/core/result.ts'
import { Gateway, type ReloadReport, type Settings } from '../../src/gateway.ts'
import { ConfigSource } from '../../src/io/config/config-source.ts'
import { formatProblem, type LoadedConfig } from '../../src/io/config/load.ts'

/** A gateway in this process, on free ports, with its audit log in a folder of its own. */
export interface TestGateway {
  readonly gateway: Gateway
  readonly port: number
  readonly metricsPort: number
  readonly adminPort: number
  /** Resolves once the audit log holds so many events that satisfy the condition. */
  audit(count?: number, condition?: (event: AuditEvent) => boolean): Promise<AuditEvent[]>
  /** The value of a metric line, as in `sallyport_tunnels_open` or `name{label="value"}`. */
  metric(line: string): Promise<number | undefined>
  /** Everything in the process log so far. */
  readonly log: readonly Record<string, unknown>[]
  /** Puts another config in force; `listen` and `audit.file` stay as they are. */
  reload(yaml: string): Promise<ReloadReport>
  /** The config file, in a folder of its own. */
  readonly file: string
  stop(): Promise<void>
}

const FREE_PORTS = 'listen: { proxy: "127.0.0.1:0", metrics: "127.0.0.1:0", admin: "127.0.0.1:0" }\n'

/** @param yaml the config file; `listen` and `audit.file` are added unless they are in it */
export async function startGateway(yaml: string, options: { hostsFile?: string } = {}): Promise<TestGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-test-'))
  const file = join(folder, 'gateway.yaml')
  const auditFile = join(folder, 'audit.log')
  const listen = /^listen:/m.test(yaml) ? '' : FREE_PORTS
  const audit = /^audit:/m.test(yaml) ? '' : 'audit: { file: audit.log }\n'
  writeFileSync(file, `${listen}${audit}${yaml}`)
  const source = new ConfigSource(file)
  const loaded = await source.load()
  if (!loaded.ok) throw new Error(loaded.error.map((problem) => JSON.stringify(problem)).join('\n'))
  const log: Record<string, unknown>[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => log.push(JSON.parse(line)) })
  const gateway = new Gateway({
    ...settingsOf(loaded.value),
    source: async () => {
      const again = await source.load()
      return again.ok ? ok(settingsOf(again.value)) : err(again.error.map(formatProblem))
    },
    log: logger,
    hostsFile: options.hostsFile ?? join(folder, 'no-hosts'),
  })
  const bound = await gateway.start()

  // The last line may be half written.
  const readAudit = (): AuditEvent[] =>
    readFileSync(auditFile, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  return {
    gateway,
    log,
    port: bound.proxy.port,
    metricsPort: bound.metrics.port,
    adminPort: bound.admin.port,
    audit: (count = 1, condition = () => true) =>
      waitFor(() => {
        const events = readAudit().filter(condition)
        return events.length >= count ? events : undefined
      }, `${count} audit events`),
    metric: async (line) => {
      const found = (await gateway.metrics.registry.metrics()).split('\n').find((text) => text.startsWith(`${line} `))
      return found === undefined ? undefined : Number(found.slice(line.length + 1))
    },
    file,
    reload: (changed) => {
      writeFileSync(file, `${listen}${audit}${changed}`)
      return gateway.reload()
    },
    stop: async () => {
      await gateway.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function settingsOf({ config, compiled, inspection, access, hooks, upstream, adminToken, auditKey }: LoadedConfig): Settings {
  return { config, policy: compiled.policy, inspection, access, hooks, upstream, adminToken, auditKey }
}

/** Looks again until there is a value; a test that waits in vain says for what. */
export async function waitFor<T>(
  look: () => T | undefined | Promise<T | undefined>,
  what: string,
  deadlineMs = 10_000,
): Promise<T> {
  const until = performance.now() + deadlineMs
  for (;;) {
    const value = await look()
    if (value !== undefined) return value
    if (performance.now() > until) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
