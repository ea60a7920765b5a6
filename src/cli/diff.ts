import { type AskedRequest, readAskedRequest } from '../core/audit-record.ts'
import { formatAuthority } from '../core/names/authority.ts'
import { describeEntry } from '../core/policy/describe.ts'
import type { ExplainTarget, Explanation } from '../core/policy/explain.ts'
import { formatPattern } from '../core/policy/hints.ts'
import { diffPolicies, isEmptyDiff, type PolicyDiff } from '../core/policy/policy-diff.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type LoadedConfig, loadConfig, printable } from '../io/config/load.ts'
import { readLog, reportUnread } from './audit-logs.ts'
import { type CommandIo, counted, EXIT, refuseConfig } from './command-io.ts'
import { answer } from './explain.ts'

export interface DiffOptions {
  readonly replay?: readonly string[]
  readonly json?: boolean
}

/** Different requests whose answer is remembered, so that a long log is judged once a request. */
const REMEMBERED_MAX = 100_000

/** Requests of a replay that are told one by one; of the rest, how many. */
const SHOWN_MAX = 1_000

/** Says what would change if one config took the other's place; exit 1 where anything does, as `diff` has it. Judges as if there were a CA. */
export async function diff(oldFile: string, newFile: string, options: DiffOptions, io: CommandIo): Promise<number> {
  const [before, after] = [await loadConfig(oldFile), await loadConfig(newFile)]
  const problems = [before, after].flatMap((loaded) => (loaded.ok ? [] : loaded.error))
  if (!before.ok || !after.ok) return refuseConfig(problems, io)
  const policies = diffPolicies(before.value.compiled.policy, after.value.compiled.policy)
  const found = { ...policies, settings: [...policies.settings, ...clientsChange(before.value, after.value)] }
  const replayed = options.replay === undefined ? ok(undefined) : await replay(options.replay, before.value, after.value, io)
  if (!replayed.ok) {
    io.stderr.write(`${printable(replayed.error)}\n`)
    return EXIT.usage
  }
  io.stdout.write(options.json ? diffJson(found, replayed.value) : diffText(found, replayed.value))
  return isEmptyDiff(found) && (replayed.value?.changes.length ?? 0) === 0 ? EXIT.ok : EXIT.failed
}

/** Who may use the gateway stands outside the policy. */
function clientsChange(before: LoadedConfig, after: LoadedConfig): PolicyDiff['settings'] {
  const [was, now] = [before, after].map(({ config }) => config.clients.allow.cidrs.map(({ text }) => text).join(', '))
  return was === undefined || now === undefined || was === now ? [] : [{ name: 'clients.allow', before: was, after: now }]
}

/** A request of a log that would be answered otherwise. */
interface ReplayedChange {
  readonly request: string
  readonly before: string
  readonly after: string
  count: number
}

interface Replay {
  /** Requests of the logs that say where they wanted to go. */
  requests: number
  /** The most frequent first. */
  changes: readonly ReplayedChange[]
  /** Requests, each counted, that are in none of the `changes`: there were too many different ones. */
  untold: number
}

async function replay(
  logs: readonly string[],
  before: LoadedConfig,
  after: LoadedConfig,
  io: CommandIo,
): Promise<Result<Replay, string>> {
  const remembered = new Map<string, ReplayedChange | 'same' | 'untold'>()
  const changes: ReplayedChange[] = []
  const result: Replay = { requests: 0, changes, untold: 0 }
  const judge = (target: ExplainTarget, request: AskedRequest, shown: string): ReplayedChange | 'same' | 'untold' => {
    const question = { target, ...(request.client === undefined ? {} : { client: request.client }) }
    const [was, now] = [answer(question, before, true), answer(question, after, true)]
    const [from, to] = [was, now].map((one) => outcome(one, request))
    if (from === undefined || to === undefined || from === to) return 'same'
    if (changes.length >= SHOWN_MAX) return 'untold'
    const change = { request: shown, before: from, after: to, count: 0 }
    changes.push(change)
    return change
  }
  for (const log of logs) {
    const read = await readLog(
      log,
      'diff',
      (_, line) => {
        const request = readAskedRequest(line)
        if (request === undefined) return
        result.requests++
        const { target, shown } = targetOf(request)
        const key = `${request.client?.text ?? ''} ${shown}`
        const known = remembered.get(key) ?? judge(target, request, shown)
        if (remembered.size < REMEMBERED_MAX) remembered.set(key, known)
        if (known === 'untold') result.untold++
        else if (known !== 'same') known.count++
      },
      io,
    )
    if (!read.ok) return err(read.error)
    reportUnread(log, read.value, io)
  }
  return ok({ ...result, changes: byRequest(changes) })
}

/** With the path known, inspected means looked into and let through. */
function outcome({ verdict, reason }: Explanation, { http }: AskedRequest): string {
  if (reason !== undefined) return `${verdict} (${reason})`
  return verdict === 'inspect' && http !== undefined ? 'allow' : verdict
}

function targetOf({ host, port, http }: AskedRequest): { readonly target: ExplainTarget; readonly shown: string } {
  const authority = { host, port }
  const shown = formatAuthority(authority)
  if (http === undefined) return { target: { authority }, shown }
  const scheme = port === 80 ? 'http' : 'https'
  return { target: { authority, url: { scheme, ...http } }, shown: `${http.method} ${shown}${http.path}` }
}

/** Several clients ask for the same. */
function byRequest(changes: readonly ReplayedChange[]): ReplayedChange[] {
  const merged = new Map<string, ReplayedChange>()
  for (const change of changes) {
    const key = JSON.stringify([change.request, change.before, change.after])
    const known = merged.get(key)
    if (known === undefined) merged.set(key, { ...change })
    else known.count += change.count
  }
  return [...merged.values()].toSorted((a, b) => b.count - a.count || (a.request < b.request ? -1 : 1))
}

function diffText(found: PolicyDiff, replayed: Replay | undefined): string {
  const patterns = (sign: string, entry: PolicyDiff['added'][number]) =>
    entry.patterns.map((pattern) => `    ${sign} ${entry.action === 'deny' ? 'deny: ' : ''}${formatPattern(pattern)}`)
  const lines = [
    ...found.settings.map(({ name, before, after }) => `~ ${name}: ${before || '(none)'} -> ${after || '(none)'}`),
    ...found.removed.flatMap((entry) => [`- ${entry.id}`, ...patterns('-', entry)]),
    ...found.added.flatMap((entry) => [`+ ${entry.id}`, ...patterns('+', entry)]),
    ...found.changed.flatMap(({ before, after }) => [`~ ${after.id}`, ...changedParts(before, after)]),
    ...(found.verdicts.length === 0 ? [] : ['', 'what becomes of a tunnel in enforce mode:']),
    ...found.verdicts.map(
      ({ target, before, after, entry }) => `  ${before} -> ${after}  ${target}${entry === undefined ? '' : `  by ${entry}`}`,
    ),
    ...(isEmptyDiff(found) ? ['the policies are the same'] : []),
    ...(replayed === undefined ? [] : ['', ...replayLines(replayed)]),
  ]
  return lines.map((line) => (line === '' ? '\n' : `${printable(line)}\n`)).join('')
}

function changedParts(before: PolicyDiff['added'][number], after: PolicyDiff['added'][number]): string[] {
  const [was, now] = [describeEntry(before), describeEntry(after)].map((entry) => entry as Readonly<Record<string, unknown>>)
  const keys = [...new Set([...Object.keys(was ?? {}), ...Object.keys(now ?? {})])]
  return keys.flatMap((key) => {
    if (key === 'patterns') {
      const [old, current] = [before, after].map((entry) => entry.patterns.map(formatPattern))
      return [
        ...(old ?? []).filter((one) => !current?.includes(one)).map((one) => `    - ${one}`),
        ...(current ?? []).filter((one) => !old?.includes(one)).map((one) => `    + ${one}`),
      ]
    }
    const [from, to] = [was?.[key], now?.[key]].map((value) => JSON.stringify(value) ?? '(none)')
    return from === to ? [] : [`    ~ ${key}: ${from} -> ${to}`]
  })
}

function replayLines({ requests, changes, untold }: Replay): string[] {
  if (changes.length === 0) return [`replayed ${counted(requests, 'request')}: each is answered as before`]
  const changed = changes.reduce((sum, { count }) => sum + count, 0) + untold
  return [
    `replayed ${counted(requests, 'request')}: ${changed} ${changed === 1 ? 'is' : 'are'} answered otherwise`,
    ...changes.map(({ request, before, after, count }) => `  ${count} x ${before} -> ${after}  ${request}`),
    ...(untold === 0 ? [] : [`  ${untold} more of other kinds`]),
  ]
}

function diffJson(found: PolicyDiff, replayed: Replay | undefined): string {
  const { settings, removed, added, changed, verdicts } = found
  const described = {
    settings,
    removed: removed.map(describeEntry),
    added: added.map(describeEntry),
    changed: changed.map(({ before, after }) => ({ before: describeEntry(before), after: describeEntry(after) })),
    verdicts,
    ...(replayed === undefined ? {} : { replay: replayed }),
  }
  return `${JSON.stringify(described, undefined, 2)}\n`
}
