import { type Authority, parseAuthority } from '../names/authority.ts'
import { quote } from '../names/quote.ts'
import { err, ok, type Result } from '../result.ts'
import { z } from '../schema.ts'

/** A host that Azure says the workspace needs. */
export interface Dependency {
  readonly category: string
  /** As it stands in the answer: `*.blob.core.windows.net` too. */
  readonly domain: string
  /** The host, or one that the wildcard covers. */
  readonly authority: Authority
}

const answerSchema = z.looseObject({
  value: z.array(
    z.looseObject({
      properties: z.looseObject({
        category: z.string().default(''),
        endpoints: z
          .array(
            z.looseObject({
              domainName: z.string(),
              endpointDetails: z.array(z.looseObject({ port: z.int().min(1).max(65_535) })).nullish(),
            }),
          )
          .nullish(),
      }),
    }),
  ),
})

/** What is left out of the answer, and why. */
export interface Dependencies {
  readonly list: readonly Dependency[]
  readonly unread: readonly string[]
}

/** Reads the answer of a workspace's `outboundNetworkDependenciesEndpoints`. An endpoint without ports is asked about on 443. */
export function readDependencies(value: unknown): Result<Dependencies, string> {
  const parsed = answerSchema.safeParse(value)
  if (!parsed.success)
    return err(
      'this is not the answer of `outboundNetworkDependenciesEndpoints`: it wants `value`, a list of categories with `endpoints`',
    )
  const list: Dependency[] = []
  const unread: string[] = []
  for (const { properties } of parsed.data.value) {
    for (const { domainName, endpointDetails } of properties.endpoints ?? []) {
      const host = domainName.replace(/^\*\.?/, 'any.').toLowerCase()
      const ports = endpointDetails?.map(({ port }) => port) ?? []
      for (const port of ports.length === 0 ? [443] : ports) {
        const authority = parseAuthority(`${host}:${port}`)
        if (authority.ok)
          list.push({ category: properties.category, domain: domainName.toLowerCase(), authority: authority.value })
        else unread.push(`${quote(domainName)}: ${authority.error}`)
      }
    }
  }
  return ok({ list, unread })
}
