import type { Edition } from '../core/policy/catalogue.ts'
import {
  type ChangedHost,
  type DocumentedHost,
  diffEditions,
  type EditionDiff,
  type MovedHost,
} from '../core/policy/edition-diff.ts'
import { CLOUDS, type Cloud } from '../core/policy/entry.ts'
import { didYouMean } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { readCatalogue } from '../io/config/catalogue-files.ts'
import { loadConfig, printable } from '../io/config/load.ts'
import { type CommandIo, counted, EXIT, refuseConfig, refuseUsage, terminalColumns } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'
import { type Column, renderTable } from './table.ts'

export interface EditionsOptions {
  readonly config?: string
  readonly json?: boolean
}

export interface EditionsDiffOptions {
  readonly cloud?: string
  readonly json?: boolean
}

const LIST_COLUMNS: readonly Column[] = [
  { title: 'EDITION' },
  { title: 'IN FORCE' },
  { title: 'ROWS' },
  { title: 'OFF BY DEFAULT', leastCharacters: 14 },
  { title: 'TITLE', leastCharacters: 14 },
]

/** Lists the editions there are, and which of them the config has in force. */
export async function editions({ config, json = false }: EditionsOptions, io: CommandIo): Promise<number> {
  const loaded = await loadConfig(chosenConfig(config, io))
  if (!loaded.ok) return refuseConfig(loaded.error, io)
  const inForce = loaded.value.config.editions
  const { editions: all } = await readCatalogue()
  if (json) {
    const described = all.map(({ id, title, date, features, hosts }) => ({
      id,
      title,
      date,
      inForce: inForce.includes(id),
      rows: hosts.length,
      features,
    }))
    io.stdout.write(`${JSON.stringify(described, undefined, 2)}\n`)
    return EXIT.ok
  }
  const rows = all.map(({ id, title, features, hosts }) => [
    id,
    inForce.includes(id) ? 'yes' : 'no',
    String(hosts.length),
    Object.entries(features)
      .flatMap(([name, { default: on }]) => (on ? [] : [name]))
      .join(', '),
    title,
  ])
  io.stdout.write(renderTable(LIST_COLUMNS, rows, terminalColumns(io.stdout)))
  return EXIT.ok
}

/** Says what one edition lists that another does not, for one cloud. */
export async function editionsDiff(from: string, to: string, options: EditionsDiffOptions, io: CommandIo): Promise<number> {
  const cloud = readCloud(options.cloud)
  if (!cloud.ok) return refuseUsage(cloud.error, io)
  const { editions: all } = await readCatalogue()
  const before = findEdition(from, all)
  if (!before.ok) return refuseUsage(before.error, io)
  const after = findEdition(to, all)
  if (!after.ok) return refuseUsage(after.error, io)
  const diff = diffEditions(before.value, after.value, cloud.value)
  const text = options.json
    ? JSON.stringify({ from, to, cloud: cloud.value, ...diff }, undefined, 2)
    : diffText(diff, from, to, cloud.value)
  io.stdout.write(`${text}\n`)
  return EXIT.ok
}

function readCloud(text = 'public'): Result<Cloud, string> {
  const cloud = CLOUDS.find((one) => one === text)
  if (cloud !== undefined) return ok(cloud)
  return err(`there is no cloud \`${printable(text)}\`; take one of ${CLOUDS.map((one) => `\`${one}\``).join(', ')}`)
}

function findEdition(id: string, all: readonly Edition[]): Result<Edition, string> {
  const found = all.find((edition) => edition.id === id)
  if (found !== undefined) return ok(found)
  const ids = all.map((edition) => edition.id)
  const nearest = didYouMean(id, ids)
  return err(
    `unknown edition \`${printable(id)}\`; ${nearest === undefined ? `there are ${ids.join(', ')}` : `did you mean \`${nearest}\`?`}`,
  )
}

function diffText({ added, gone, changed, same }: EditionDiff, from: string, to: string, cloud: Cloud): string {
  const on = added.filter(({ host }) => host.on)
  return [
    `${from} to ${to}, cloud ${cloud}: ${added.length} added, ${gone.length} gone, ${changed.length} changed, ${counted(same, 'host')} the same`,
    ...section(
      'added',
      on.map((one) => movedLine('+', one, from)),
    ),
    ...section('added, off by default', offLines(added.filter(({ host }) => !host.on))),
    ...section(
      'gone',
      gone.map((one) => movedLine('-', one, to)),
    ),
    ...section('changed', changed.map(changedLine)),
  ].join('\n')
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines]
}

/** One line a feature: these are many, and nobody has them without asking. */
function offLines(added: readonly MovedHost[]): readonly string[] {
  const byFeature = new Map<string, string[]>()
  for (const { host } of added) {
    for (const feature of new Set(host.rows.map((row) => row.slice(0, row.indexOf('/'))))) {
      const hosts = byFeature.get(feature) ?? []
      hosts.push(host.host)
      byFeature.set(feature, hosts)
    }
  }
  return [...byFeature].map(([feature, hosts]) => `  + ${feature}: ${hosts.join(', ')}`)
}

function movedLine(sign: string, { host, coveredBy }: MovedHost, other: string): string {
  const covered = coveredBy === undefined ? '' : `; \`${coveredBy}\` of ${other} covers it`
  return `  ${sign} ${host.host} ${accessText(host)} (${host.rows.join(', ')}${covered})`
}

function changedLine({ host, before, after }: ChangedHost): string {
  return `  ~ ${host} ${accessText(before)} to ${accessText(after)} (${after.rows.join(', ')})`
}

function accessText({ access, on, unproxied }: DocumentedHost): string {
  return `${access.join(',')}${on ? '' : ' off'}${unproxied ? ' not carried' : ''}`
}
