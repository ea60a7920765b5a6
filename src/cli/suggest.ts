import type { AuditRecord } from '../core/audit-record.ts'
import { quote } from '../core/names/quote.ts'
import { SharedSuffixes } from '../core/names/registrable-domain.ts'
import { DeniedDestinations } from '../core/policy/denied-destinations.ts'
import { suggest as suggestChanges } from '../core/policy/suggest.ts'
import { err, ok, type Result } from '../core/result.ts'
import { readCatalogue, readSharedServices } from '../io/config/catalogue-files.ts'
import { digest } from '../io/config/digest.ts'
import { loadConfig, printable } from '../io/config/load.ts'
import { readLog, reportUnread } from './audit-logs.ts'
import { type CommandIo, EXIT, refuseConfig, refuseUsage } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'
import { type Findings, suggestionJson, suggestionYaml } from './suggestion-text.ts'

/** As they were typed. */
export interface SuggestOptions {
  readonly config?: string
  readonly minCount?: string
  readonly since?: string
  readonly json?: boolean
}

/** Says what would let out what audit logs show as refused: as YAML for the config file. */
export async function suggest(
  files: readonly string[],
  options: SuggestOptions,
  io: CommandIo,
  now = new Date(),
): Promise<number> {
  const wish = readWish(options, now)
  if (!wish.ok) return refuseUsage(wish.error, io)
  const { minCount, since } = wish.value
  const file = chosenConfig(options.config, io)
  const loaded = await loadConfig(file)
  if (!loaded.ok) return refuseConfig(loaded.error, io)

  const found = new DeniedDestinations()
  const events = { read: 0, before: 0 }
  const take = (record: AuditRecord) => {
    events.read++
    if (record.kind !== 'denial') return
    if (since !== undefined && record.denial.time < since) events.before++
    else found.add(record.denial)
  }
  for (const log of files) {
    const read = await readLog(log, 'suggest', take, io)
    if (!read.ok) {
      io.stderr.write(`${printable(read.error)}\n`)
      return EXIT.failed
    }
    reportUnread(log, read.value, io)
  }
  const { config, tags } = loaded.value
  const sources = { config, ...(await readCatalogue()), tags, digest }
  const shared = new SharedSuffixes(await readSharedServices())
  const suggestion = suggestChanges(found.list(), { sources, shared, minCount })
  const findings: Findings = {
    suggestion,
    config: loaded.value.config,
    events: events.read,
    beforeSince: events.before,
    total: found.total,
    gateways: found.gateways,
    withoutTarget: found.withoutTarget(),
    forgotten: found.forgotten,
  }
  io.stdout.write(options.json ? suggestionJson(findings) : suggestionYaml(findings))
  return EXIT.ok
}

interface Wish {
  readonly minCount: number
  /** ISO 8601 in UTC. */
  readonly since: string | undefined
}

function readWish({ minCount = '1', since }: SuggestOptions, now: Date): Result<Wish, string> {
  const count = /^[0-9]{1,9}$/.test(minCount) ? Number(minCount) : 0
  if (count < 1) return err(`\`--min-count\` wants a whole number from 1 on, found ${quote(minCount)}`)
  if (since === undefined) return ok({ minCount: count, since })
  const time = readTime(since, now)
  if (time === undefined)
    return err(`\`--since\` wants a time such as \`2026-11-22T08:00:00Z\`, or \`30m\`, \`24h\`, \`7d\`, found ${quote(since)}`)
  return ok({ minCount: count, since: time })
}

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

function readTime(text: string, now: Date): string | undefined {
  const ago = /^([0-9]{1,6})([mhd])$/.exec(text)
  const at = ago === null ? Date.parse(text) : now.getTime() - Number(ago[1]) * (UNIT_MS[ago[2] ?? ''] ?? 0)
  const isTime = ago !== null || /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(text)
  return isTime && !Number.isNaN(at) ? new Date(at).toISOString() : undefined
}
