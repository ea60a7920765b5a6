import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { azureFirewallRules } from '../../../src/core/export/azure-firewall.ts'
import { overlap, rulesOf, usualHosts } from '../../../src/core/export/export-rule.ts'
import { EXPORT_TARGETS } from '../../../src/core/export/targets.ts'
import { formatHostPattern, parseHostPattern } from '../../../src/core/policy/host-pattern.ts'
import type { FirewallPolicyFilterRuleCollection } from '../../support/arm-network.ts'
import { configFrom, policyFrom, policyOf, unwrap } from '../../support/policy.ts'

const RULES = `
  - { name: git, hosts: [git.example.com, "*.git.example.com"], ports: [443] }
  - { name: ssh, hosts: [git.example.com, "*.git.example.com"], ports: [22], protocol: any }
  - { name: models, hosts: [raw.example.com], paths: ["/team/*", "/exact", "/a/*/b"] }
  - { name: read, hosts: [read.example.com], methods: [GET] }
  - { name: looked, hosts: [looked.example.com], inspect: always }
  - { name: torch, hosts: ["*pytorch.org"] }
  - { name: no-secrets, hosts: [secrets.git.example.com], action: deny }
  - { name: no-wild, hosts: ["*.evil.example.com"], ports: [443], action: deny }
  - { name: trial, hosts: [git.example.com], action: deny, mode: report }
  - { name: literal, hosts: ["203.0.113.7"], ports: [5000] }
  - { name: range, addresses: ["198.51.0.0/17"], ports: [443] }
  - { name: high, hosts: [high.example.com], ports: [443, 64001], protocol: tls }
  - { name: quote'$, hosts: [q.example.com] }
`.replace("quote'$", 'quote')

const OPTIONS = { priority: 1000, sources: ['10.0.1.0/24'], clients: configFrom({}).clients.allow }
/** One of each family: the others say the same in another notation. */
const FOR_EVERY_CLOUD = ['azure-firewall-bicep', 'managed-vnet', 'csv']

const CLOUDS = ['public', 'government', 'china'] as const

describe('an export', () => {
  const config = { workspace: { regions: ['eastus2'], storageAccounts: ['mystore'], containerRegistries: ['myregistry'] } }
  for (const [name, target] of Object.entries(EXPORT_TARGETS)) {
    for (const cloud of FOR_EVERY_CLOUD.includes(name) ? CLOUDS : [])
      it(`to ${name} is the one that was agreed on, in ${cloud}`, async () => {
        const regions = { public: 'eastus2', government: 'usgovvirginia', china: 'chinaeast2' }
        const policy = policyFrom({
          ...config,
          editions: ['2021-07-29'],
          workspace: { ...config.workspace, regions: [regions[cloud]] },
          cloud,
        })
        await expect(target(policy, OPTIONS).text).toMatchFileSnapshot(`golden/${cloud}-${name}.txt`)
      })
    it(`to ${name} carries rules of every kind as agreed on`, async () => {
      const { text, caveats } = target(policyOf(RULES), OPTIONS)
      const told = caveats.map((caveat) => `# told: ${caveat.entry} ${caveat.text}\n`).join('')
      await expect(`${text}${told}`).toMatchFileSnapshot(`golden/rules-${name}.txt`)
    })
    it(`to ${name} is the same, byte for byte, for the same policy`, () => {
      expect(target(policyOf(RULES), OPTIONS).text).toBe(target(policyOf(RULES), OPTIONS).text)
    })
  }
})

describe('what a later edition lists again', () => {
  const workspace = { regions: ['eastus2'], storageAccounts: ['mystore'], containerRegistries: ['myregistry'] }
  const rules = rulesOf(policyFrom({ workspace }), 'allow').map(({ entry, pattern, ports }) => ({
    id: entry.id,
    edition: entry.source?.edition,
    host: pattern.host.kind === 'network' ? '' : formatHostPattern(pattern.host),
    ports: ports === 'any' ? ['*'] : ports,
  }))
  const editionsOf = (host: string) => rules.filter((rule) => rule.host === host).map(({ edition }) => edition)

  it('is exported once', () => {
    expect(new Set(editionsOf('pypi.org'))).toEqual(new Set(['2021-07-29']))
    expect(new Set(editionsOf('management.azure.com'))).toEqual(new Set(['2021-07-29']))
    expect(new Set(editionsOf('mystore.blob.core.windows.net'))).toEqual(new Set(['2021-07-29']))
  })

  it('and what only it lists is there', () => {
    expect(editionsOf('*.data.mcr.microsoft.com')).toEqual(['2026-03-19'])
    expect(editionsOf('*.pytorch.org')).toEqual(['2026-03-19', '2026-03-19'])
  })

  it('covers every host and port that the policy lets out', () => {
    const policy = policyFrom({ workspace })
    for (const { id, patterns } of policy.entries)
      for (const { host, ports } of patterns) {
        if (host.kind === 'network' || ports === 'any') continue
        for (const port of ports) {
          const found = rules.some((rule) => rule.host === formatHostPattern(host) && rule.ports.some((one) => one === port))
          expect(found, `${id} ${formatHostPattern(host)}:${port}`).toBe(true)
        }
      }
  })
})

describe('rule collections of Azure Firewall', () => {
  const { collections, caveats } = azureFirewallRules(policyOf(RULES), OPTIONS)
  const rules = collections.flatMap((collection) => collection.rules)

  it('have the shape that Azure has types for', () => {
    // Assigned, so that the compiler compares; a field too many or of another kind does not compile.
    const typed: FirewallPolicyFilterRuleCollection[] = structuredClone(collections) as Mutable<typeof collections>
    expect(typed.map(({ name, priority }) => `${name} ${priority}`)).toEqual([
      'sallyport-deny-network 1000',
      'sallyport-allow-network 1100',
      'sallyport-deny-application 1200',
      'sallyport-allow-application 1300',
    ])
  })

  it('never use a wildcard that Azure Firewall reads wider than the gateway', () => {
    const names = rules.flatMap((rule) =>
      rule.ruleType === 'ApplicationRule' ? [...(rule.targetFqdns ?? []), ...(rule.targetUrls ?? [])] : [],
    )
    expect(names.filter((name) => /\*[^./]/.test(name) || name === '*')).toEqual([])
    expect(names).toContain('*.pytorch.org')
    expect(names).toContain('pytorch.org')
    const fqdns = rules.flatMap((rule) => (rule.ruleType === 'NetworkRule' ? [...(rule.destinationFqdns ?? [])] : []))
    expect(fqdns.filter((name) => name.includes('*'))).toEqual([])
  })

  it('leave out what cannot be said, and say so, rather than letting out more', () => {
    const names = new Set(rules.map(({ name }) => name))
    expect(names.has('rule-read')).toBe(false)
    expect(names.has('rule-trial')).toBe(false)
    const told = new Set(caveats.map(({ entry }) => entry))
    expect([...told].toSorted()).toEqual([
      'rule/high',
      'rule/looked',
      'rule/models',
      'rule/no-wild',
      'rule/read',
      'rule/ssh',
      'rule/trial',
    ])
  })

  it('refuse on every port on which anything is allowed', () => {
    const deny = rules.find(({ name, ruleType }) => name === 'rule-no-secrets' && ruleType === 'ApplicationRule')
    const ports = deny?.ruleType === 'ApplicationRule' ? new Set(deny.protocols.map(({ port }) => port)) : new Set()
    expect(ports).toEqual(new Set([443, 80]))
  })

  it('are JSON that ARM takes for text where it begins with a bracket', () => {
    const policy = policyOf('- { name: v6, hosts: ["2001:db8::1"], destinations: ["2001:db8::/32"] }')
    const { text } = EXPORT_TARGETS['azure-firewall-arm'](policy, OPTIONS)
    const template = z
      .object({ resources: z.array(z.object({ name: z.string(), properties: z.object({ priority: z.number() }) })) })
      .parse(JSON.parse(text))
    expect(template.resources[0]?.name).toBe("[concat(parameters('firewallPolicyName'), '/sallyport')]")
    expect(text).not.toMatch(/"\[(?!concat)/)
  })
})

describe('outbound rules of a managed network', () => {
  it('are YAML, with each name once', () => {
    const { text } = EXPORT_TARGETS['managed-vnet'](policyOf(RULES))
    const parsed = z
      .object({
        managed_network: z.object({
          isolation_mode: z.string(),
          outbound_rules: z.array(z.object({ name: z.string(), type: z.string() })),
        }),
      })
      .parse(parse(text))
    const names = parsed.managed_network.outbound_rules.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(text).not.toMatch(/destination:.*secrets/)
  })
})

describe('a table for spreadsheets', () => {
  it('has no cell that is taken for a formula', () => {
    const { text } = EXPORT_TARGETS.csv(policyOf('- { name: "-cmd", hosts: [a.example.com] }'.replace('"-cmd"', 'a')))
    expect(text.split('\r\n')[1]).toBe('allow,rule/a,,,a.example.com,80 443,,,,,')
    expect(
      text
        .split('\r\n')
        .flatMap((line) => line.split(','))
        .filter((cell) => /^[=+@-]/.test(cell)),
    ).toEqual([])
  })
})

describe('two patterns', () => {
  const pattern = (text: string) => unwrap(parseHostPattern(text))
  it.each([
    ['a.example.com', 'a.example.com', true],
    ['a.example.com', '*.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*example.com', 'example.com', true],
    ['*.a.example.com', '*.example.com', true],
    ['*.a.example.com', '*.b.example.com', false],
    ['notexample.com', '*example.com', false],
    ['10.0.0.1', '10.0.0.1', true],
    ['10.0.0.1', '10.0.0.2', false],
  ])('%s and %s overlap: %s', (a, b, expected) => {
    expect(overlap(pattern(a), pattern(b))).toBe(expected)
    expect(overlap(pattern(b), pattern(a))).toBe(expected)
  })

  it('become patterns of the usual kind', () => {
    expect(usualHosts(pattern('*pytorch.org'))).toEqual(['pytorch.org', '*.pytorch.org'])
    expect(usualHosts(pattern('*.pytorch.org'))).toEqual(['*.pytorch.org'])
  })
})

type Mutable<T> = T extends readonly (infer E)[]
  ? Mutable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T
