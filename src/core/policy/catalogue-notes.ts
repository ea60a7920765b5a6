import type { Edition, Unproxied } from './catalogue.ts'
import { isCovered } from './edition-diff.ts'
import type { Cloud, Entry } from './entry.ts'

/** What `check` tells of the documented entries that are on: facts to know, nothing that has to be changed. */
export function catalogueNotes(
  { cloud, entries }: { readonly cloud: Cloud; readonly entries: readonly Entry[] },
  editions: readonly Edition[],
  unproxied: readonly Unproxied[],
): readonly string[] {
  const newest = editions.at(-1)
  const gone = newest === undefined ? [] : entries.filter((entry) => isGone(entry, editions, newest, cloud))
  const shared = entries.filter(({ origin, tenancy }) => origin === 'catalogue' && tenancy === 'any')
  return [
    ...(gone.length === 0 || newest === undefined
      ? []
      : [`gone from the documentation by edition ${newest.id}: ${gone.map(({ id }) => id).join(', ')}`]),
    ...(shared.length === 0
      ? []
      : [
          `tenancy \`any\`, other customers or anybody can receive data there (\`sallyport entries --risk\` says why): ${withoutEditions(shared).join(', ')}`,
        ]),
    ...unproxied.map((row) => `not carried: \`${row.entryId}\`, ${formatUnproxied(row)}`),
  ]
}

/** `UDP 5831 to eastus2.tundra.azureml.ms; UDP cannot go through a proxy: ...`. */
export function formatUnproxied({ destinations, protocol, ports, why }: Unproxied): string {
  return `${[protocol, ports.join(', ')].filter((part) => part !== '').join(' ')} to ${destinations.join(', ')}; ${why}`
}

/** An older edition lists it, and nothing in the newest covers it. */
function isGone(entry: Entry, editions: readonly Edition[], newest: Edition, cloud: Cloud): boolean {
  const { source } = entry
  if (source === undefined || source.edition >= newest.id) return false
  const edition = editions.find(({ id }) => id === source.edition)
  const row = edition?.hosts.find(({ feature, id }) => entry.id === `${source.edition}/${feature}/${id}`)
  return row !== undefined && !isCovered(row, newest, cloud)
}

/** `feature/row`, once where several editions have it. */
function withoutEditions(entries: readonly Entry[]): readonly string[] {
  return [...new Set(entries.map(({ id, source }) => (source === undefined ? id : id.slice(source.edition.length + 1))))]
}
