import type { Entry } from './entry.ts'
import type { Explanation } from './explain.ts'
import { formatHostPattern } from './host-pattern.ts'

/** An entry as plain JSON, for programs: the same in `entries --json`, `explain --json` and the admin API. */
export function describeEntry(entry: Entry) {
  const { id, origin, action, feature, tenancy, purpose, condition, documented, documentedProtocol, note, source, mode, quiet } =
    entry
  const { expires, owner, ticket } = entry
  return {
    id,
    origin,
    action,
    ...(quiet === undefined ? {} : { quiet }),
    ...optional({ mode, feature, tenancy, purpose, condition, documented, documentedProtocol, note, expires, owner, ticket }),
    ...(source === undefined ? {} : { source }),
    patterns: entry.patterns.map(({ host, ports, protocol, paths, methods, inspect }) => ({
      host: formatHostPattern(host),
      ports,
      ...optional({ protocol, inspect }),
      ...(paths === undefined ? {} : { paths: paths.map(({ text }) => text) }),
      ...(methods === undefined ? {} : { methods }),
    })),
    ...(entry.destinations === undefined ? {} : { destinations: entry.destinations.cidrs.map(({ text }) => text) }),
  }
}

/** An explanation as plain JSON. */
export function describeExplanation(explanation: Explanation) {
  const { entry, hint, ...rest } = explanation
  return {
    ...rest,
    ...(entry === undefined ? {} : { entry: describeEntry(entry) }),
    ...(hint === undefined ? {} : { hint: hint.text, remedy: hint.remedy }),
  }
}

function optional<T extends Record<string, string | undefined>>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>
}
