import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type Hostname, parseHostname } from '../../../src/core/names/hostname.ts'
import { type Ownership, SharedSuffixes } from '../../../src/core/names/registrable-domain.ts'
import { sharedServicesSchema } from '../../../src/core/names/shared-service.ts'

const services = sharedServicesSchema.parse(
  parse(readFileSync(new URL('../../../config/shared-suffixes.yaml', import.meta.url), 'utf8')),
)
const shared = new SharedSuffixes(services)
const hostname = (text: string): Hostname => {
  const name = parseHostname(text)
  if (!name.ok) throw new Error(name.error)
  return name.value
}

/** `domain D`, `domain D above` (shared names somewhere under it), `shared S`, `shared itself` or `unknown`. */
function told(own: Ownership): string {
  if (own.kind === 'unknown') return 'unknown'
  if (own.kind === 'domain') return `domain ${own.domain}${own.above === undefined ? '' : ' above'}`
  return own.itself ? 'shared itself' : `shared ${own.suffix}`
}

describe('whose a name is', () => {
  const cases = [
    ['git.example.com', 'domain example.com', 'one registrant has all of it'],
    ['example.com', 'domain example.com', 'the domain itself is theirs too'],
    ['a.b.example.co.uk', 'domain example.co.uk', 'nobody has co.uk'],
    ['co.uk', 'unknown', 'a suffix is nobody’s domain'],
    ['localhost', 'unknown', 'one label has no owner'],
    ['npm.corp', 'domain npm.corp', 'what the list does not know ends after one label'],
    ['_srv.example.com', 'domain example.com', 'underscores occur in real names'],
    ['examplestore.blob.core.windows.net', 'shared blob.core.windows.net', 'every customer has accounts there'],
    ['examplestore.dfs.core.usgovcloudapi.net', 'shared dfs.core.usgovcloudapi.net', 'in Government too'],
    ['examplestore.blob.core.chinacloudapi.cn', 'shared blob.core.chinacloudapi.cn', 'and in China'],
    ['exampleregistry.azurecr.io', 'shared azurecr.io', 'the public list does not have it, ours has'],
    ['examplevault.vault.azure.net', 'shared vault.azure.net', 'likewise'],
    ['x.azurewebsites.net', 'shared azurewebsites.net', 'anybody’s web site'],
    ['x.b02.azurefd.net', 'shared azurefd.net', 'at any depth'],
    ['x.azureedge.net', 'shared azureedge.net', 'anybody’s content'],
    ['x.s3.amazonaws.com', 'shared s3.amazonaws.com', 'anybody’s bucket'],
    ['x.s3.eu-west-1.amazonaws.com', 'shared s3.eu-west-1.amazonaws.com', 'in each region'],
    ['s3.amazonaws.com', 'shared itself', 'one host that serves every bucket'],
    ['storage.googleapis.com', 'shared itself', 'likewise'],
    ['x.github.io', 'shared github.io', 'the list’s private section counts'],
    ['evilgithub.io', 'domain evilgithub.io', 'labels are compared, not text endings'],
    ['management.azure.com', 'domain azure.com above', 'Microsoft’s own, but customers’ names are under azure.com too'],
    ['sts.amazonaws.com', 'domain amazonaws.com above', 'likewise'],
    ['api.linode.com', 'domain linode.com above', 'the public list has suffixes under it'],
    ['cdn.hf.co', 'domain hf.co above', 'likewise, by our own list'],
  ] as const
  for (const [host, expected, because] of cases)
    it(`${host} is ${expected}: ${because}`, () => {
      expect(told(shared.ownershipOf(hostname(host)))).toBe(expected)
    })

  it('is told of any name without throwing, and a domain is the name or stands above it (seeded)', () => {
    const label = fc.stringMatching(/^[a-z0-9_]([a-z0-9-]{0,10}[a-z0-9])?$/)
    const suffix = fc.constantFrom('com', 'co.uk', 'azure.com', 'blob.core.windows.net', 'github.io', 'internal', 'xn--p1ai')
    fc.assert(
      fc.property(fc.array(label, { maxLength: 4 }), suffix, (labels, end) => {
        const host = hostname([...labels, end].join('.'))
        const own = shared.ownershipOf(host)
        if (own.kind === 'domain') expect(`.${host}`.endsWith(`.${own.domain}`)).toBe(true)
        if (own.kind === 'shared') expect(`.${host}`.endsWith(`.${own.suffix}`)).toBe(true)
      }),
      { seed: 5, numRuns: 2_000 },
    )
  })
})

describe('shared-suffixes.yaml', () => {
  const all = services.flatMap(({ suffixes, parents }) => [...suffixes, ...parents])

  it('names every suffix once, in normal form', () => {
    expect(all.filter((name, at) => all.indexOf(name) !== at)).toEqual([])
    for (const name of all) expect(hostname(name)).toBe(name)
  })

  it('is never a whole top-level domain', () => {
    for (const name of all) expect(name).toContain('.')
  })

  it('has what Azure, Amazon and Google hand out, in every cloud', () => {
    const wanted = ['blob.core.windows.net', 'azurewebsites.net', 'azureedge.net', 'azurecr.us', 'vault.azure.cn', 'run.app']
    for (const name of wanted) expect(told(shared.ownershipOf(hostname(`x.${name}`))), name).toMatch(/^shared/)
  })
})
