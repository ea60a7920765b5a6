import { readdirSync, readFileSync } from 'node:fs'
import { embeddedIpv4 } from '../core/names/ip.ts'
import { PLATFORM_ADDRESSES, REGISTERED_BLOCKS } from '../core/names/special-purpose.ts'
import { type Edition, type HostRow, readEdition } from '../core/policy/catalogue.ts'
import { CLOUDS, type Cloud } from '../core/policy/entry.ts'
import { knownDestinationsSchema, plainHint } from '../core/policy/hints.ts'
import { isFailure, REASONS, type Reason, type ReasonSpec, reasonSpec } from '../core/policy/reasons.ts'
import { isHostFile } from '../io/config/catalogue-files.ts'
import { readShippedYaml } from '../io/config/read-yaml.ts'
import { code, markdownTable } from './doc-blocks.ts'

/** The tables in `docs/` that repeat what the program knows: made here, so that they cannot say anything else. */

const CONFIG = new URL('../../config/', import.meta.url)

/** What the hint says where it depends on the request; the others are fixed sentences. */
const HINTS_OF_THE_REQUEST: { readonly [R in Reason]?: string } = {
  host_not_listed:
    'the smallest change: the feature to switch on, the account to name, the edition, or the rule to add; for another cloud, which one lists it',
  port_not_listed: 'the ports the entry has, and the port or rule to add',
  path_not_listed: 'the paths the entry has',
  method_not_listed: 'the methods the entry has',
  inspection_unavailable:
    '`sallyport check` says why there is no usable CA, `sallyport ca init` makes one; or the rule for the whole host',
  denied_by_rule: 'the deny rule',
  address_refused:
    'the address, what it is, and the setting that would permit it; for an address of the Azure host the `NO_PROXY` line',
  origin_certificate_invalid: 'what is wrong with the certificate, and how to see it; there is no switch',
  loop_detected: 'take the name out of the proxy settings with `NO_PROXY`',
}

const IN_REPORT_MODE = {
  through: 'let through',
  gateway: 'let through',
  rule: 'refused, unless that rule says `mode: report`',
  never: 'refused',
} as const satisfies Record<ReasonSpec['report'], string>

export function reasonsTable(): string {
  const rows = Object.keys(REASONS).map((name) => {
    const reason = name as Reason
    const { status, means, report } = reasonSpec(reason)
    return [
      code(reason),
      String(status),
      means,
      isFailure(reason) ? 'fails all the same' : IN_REPORT_MODE[report],
      isFailure(reason) ? '`error`' : '`deny`',
      HINTS_OF_THE_REQUEST[reason] ?? plainHint({ reason })?.text ?? 'none',
    ]
  })
  return markdownTable(['reason', 'status', 'meaning', 'in report mode', 'audit event', 'hint'], rows)
}

/** Every address block with what is done about it, the most specific one of an address being the one that counts. */
export function addressesTable(): string {
  const blocks = REGISTERED_BLOCKS.map(({ cidr, name, source, reachable }) => [
    code(cidr.text),
    name,
    source,
    reachable === 'no' ? 'refused' : embeddedIpv4(cidr.network).length > 0 ? 'the IPv4 address inside decides' : 'dialled',
  ])
  const platform = PLATFORM_ADDRESSES.map(({ address, name }) => [
    code(address.text),
    name,
    'no setting changes it',
    'refused always',
  ])
  return markdownTable(['block', 'name', 'source', 'without a permission'], [...platform, ...blocks])
}

/** Features of an edition with their defaults. */
export function featuresTable(edition: Edition): string {
  const rows = Object.entries(edition.features).map(([name, { default: on, namedBy, summary }]) => [
    code(name),
    namedBy === undefined ? (on ? 'on' : 'off') : `on where ${code(`workspace.${namedBy}`)} names something`,
    String(edition.hosts.filter(({ feature }) => feature === name).length),
    summary,
  ])
  return markdownTable(['feature', 'default', 'rows', 'what it is'], rows)
}

/** Every row of an edition: where it stands in the document, and what became of it. */
export function rowsTable(edition: Edition): string {
  const rows = edition.hosts.map((row) => {
    const [first, ...others] = CLOUDS.map((cloud) => cell(row, cloud))
    return [
      row.lines.length > 0 ? row.lines.join(', ') : (row.documents ?? []).join(', '),
      code(`${row.feature}/${row.id}`),
      first ?? '',
      ...others.map((text) => (text === first ? 'the same' : text)),
      portsOf(row),
      tenancyOf(row),
    ]
  })
  return markdownTable([edition.documents === undefined ? 'lines' : 'pages', 'entry', ...CLOUDS, 'ports', 'tenancy'], rows)
}

function portsOf({ ports, protocol, unproxied }: HostRow): string {
  const shown = ports?.join(', ') ?? '80, 443'
  return unproxied === undefined ? shown : `${protocol === undefined ? '' : `${protocol} `}${shown}, not carried`
}

function tenancyOf({ tenancy, narrow }: HostRow): string {
  return narrow === undefined
    ? tenancy
    : `${tenancy}, narrowed by ${narrow.by.map((by) => code(`workspace.${by}`)).join(' and ')}`
}

/** The pages that an edition's rows stand in, by the name that `entries` shows. */
export function pagesTable({ documents = {} }: Edition): string {
  const rows = Object.entries(documents).map(([name, { title, date, page }]) => [
    code(name),
    title,
    date,
    page.replace(/\.md$/, ''),
  ])
  return markdownTable(['page', 'title', 'dated', 'in the documentation repositories'], rows)
}

function cell(row: HostRow, cloud: Cloud): string {
  const hosts = row.hosts[cloud]
  if (hosts.length === 0) return 'blank'
  if (row.paths !== undefined) return `${hosts.map(code).join(', ')}, only ${row.paths.map(code).join(', ')}`
  const documented = row.documented?.[cloud]
  return `${hosts.map(code).join(', ')}${documented === undefined ? '' : ` (written as ${code(documented)})`}`
}

/** What is said of destinations that people run into and that no edition lists. */
export function knownDestinationsTable(): string {
  const known = knownDestinationsSchema.parse(
    readShippedYaml(readFileSync(new URL('hints.yaml', CONFIG), 'utf8'), 'config/hints.yaml'),
  )
  const rows = known.map(({ id, hosts, ports, say, remedy }) => [
    code(id),
    hosts.map(code).join(', '),
    ports?.join(', ') ?? 'any',
    say,
    remedy.kind,
  ])
  return markdownTable(['id', 'hosts', 'port', 'hint', 'remedy'], rows)
}

/** Every shipped edition, oldest first. */
export function shippedEditions(): readonly Edition[] {
  return readdirSync(new URL('catalogue/', CONFIG)).sort().map(shippedEdition)
}

function shippedEdition(folder: string): Edition {
  const yaml = (name: string) => {
    const path = `catalogue/${folder}/${name}`
    return readShippedYaml(readFileSync(new URL(path, CONFIG), 'utf8'), `config/${path}`)
  }
  const names = readdirSync(new URL(`catalogue/${folder}/`, CONFIG))
    .filter(isHostFile)
    .sort()
  const edition = readEdition(yaml('edition.yaml'), names.flatMap(yaml))
  if (!edition.ok) throw new Error(`catalogue ${folder}: ${edition.error.join('; ')}`)
  return edition.value
}
