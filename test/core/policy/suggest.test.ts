import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { DenialRecord } from '../../../src/core/audit-record.ts'
import { type Hostname, parseHostname } from '../../../src/core/names/hostname.ts'
import { SharedSuffixes } from '../../../src/core/names/registrable-domain.ts'
import { sharedServicesSchema } from '../../../src/core/names/shared-service.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import { DeniedDestinations } from '../../../src/core/policy/denied-destinations.ts'
import { type Suggestion, suggest } from '../../../src/core/policy/suggest.ts'
import { targetOf } from '../../../src/core/policy/suggest-left.ts'
import { FAILURES } from '../../catalogue/failures.ts'
import { authorityOf, policyFrom, sourcesFrom } from '../../support/policy.ts'

const SHARED = new SharedSuffixes(
  sharedServicesSchema.parse(parse(readFileSync(new URL('../../../config/shared-suffixes.yaml', import.meta.url), 'utf8'))),
)

function denial(target: string, more: Partial<DenialRecord> = {}): DenialRecord {
  return {
    time: '2026-11-22T08:00:00.000Z',
    verdict: 'deny',
    gateway: 'gw',
    reason: 'host_not_listed',
    target: authorityOf(target),
    ...more,
  }
}

type Asked = string | DenialRecord

function suggestFor(asked: readonly Asked[], config: object = {}, minCount = 1): Suggestion {
  const found = new DeniedDestinations()
  for (const one of asked) found.add(typeof one === 'string' ? denial(one) : one)
  return suggest(found.list(), { sources: sourcesFrom(config), shared: SHARED, minCount })
}

/** The config after every change was pasted into it. */
function pasted(config: Record<string, unknown>, { features, names, rules }: Suggestion): Record<string, unknown> {
  const workspace: Record<string, unknown> = { ...(config['workspace'] as object | undefined) }
  for (const { setting, name } of names) workspace[setting] = [...((workspace[setting] as string[] | undefined) ?? []), name]
  return {
    ...config,
    features: {
      ...(config['features'] as object | undefined),
      ...Object.fromEntries(features.map((one) => [one.feature, true])),
    },
    workspace,
    rules: [
      ...((config['rules'] as object[] | undefined) ?? []),
      ...rules.map(({ remarks: _, wider: __, hosts, quiet, ...rule }) => ({
        ...rule,
        hosts: hosts.map(({ host }) => host),
        ...(quiet ? { quiet } : {}),
      })),
    ],
  }
}

/** What is suggested, a word each: `+python-files`, `storageAccounts+mine`, `a.test b.test:443`, `!telemetry.test`. */
function shown({ features, names, rules }: Suggestion): string[] {
  return [
    ...features.map(({ feature }) => `+${feature}`),
    ...names.map(({ setting, name }) => `${setting}+${name}`),
    ...rules.map(({ hosts, ports, action, protocol, paths, methods }) => {
      const list = hosts.map(({ host }) => host).join(' ')
      const more = [protocol, ...(methods ?? []), ...(paths ?? [])].filter((one) => one !== undefined)
      return action === 'deny' ? `!${list}` : [`${list}:${ports?.join(',')}`, ...more].join(' ')
    }),
  ]
}

describe('what is suggested', () => {
  const OFF = { features: { 'python-files': false, r: false } }
  const cases: readonly (readonly [because: string, asked: readonly Asked[], config: object, expected: readonly string[]])[] = [
    ['one feature for all of its hosts', ['files.pythonhosted.org', 'x.pythonhosted.org'], OFF, ['+python-files']],
    ['each feature once', ['files.pythonhosted.org', 'cloud.r-project.org'], OFF, ['+r', '+python-files']],
    [
      'one name for the account behind several hosts',
      ['mystore.blob.core.windows.net', 'mystore.file.core.windows.net'],
      {},
      ['storageAccounts+mystore'],
    ],
    [
      'a name and its region, where a host is made of both',
      ['myreg.eastus2.data.azurecr.io'],
      {},
      ['containerRegistries+myreg', 'regions+eastus2'],
    ],
    [
      'a feature and then the name it needs',
      ['mystore.blob.core.windows.net'],
      { features: { storage: false } },
      ['+storage', 'storageAccounts+mystore'],
    ],
    ['the exact host and port', ['git.example.com'], {}, ['git.example.com:443']],
    ['hosts of one domain together', ['b.example.com', 'a.example.com'], {}, ['a.example.com b.example.com:443']],
    ['hosts of two domains apart', ['a.example.com', 'a.example.org'], {}, ['a.example.com:443', 'a.example.org:443']],
    [
      'no port for a host that nobody asked it for',
      ['a.example.com:80', 'b.example.com'],
      {},
      ['a.example.com:80', 'b.example.com:443'],
    ],
    ['both ports of a host', ['a.example.com:80', 'a.example.com'], {}, ['a.example.com:80,443']],
    ['each host by itself under a shared suffix', ['a.github.io', 'b.github.io'], {}, ['a.github.io:443', 'b.github.io:443']],
    [
      'SSH relayed unseen, and the rest not',
      ['git.example.com:22', 'git.example.com'],
      {},
      ['git.example.com:22 any', 'git.example.com:443'],
    ],
    ['another port of what is listed', ['pypi.org:8443'], {}, ['pypi.org:8443']],
    [
      'telemetry refused quietly',
      ['dc.applicationinsights.azure.com', 'eastus-8.in.applicationinsights.azure.com'],
      {},
      ['!dc.applicationinsights.azure.com', '!eastus-8.in.applicationinsights.azure.com'],
    ],
    ['an account no name of which could be one, as a rule', ['a_b.blob.core.windows.net'], {}, ['a_b.blob.core.windows.net:443']],
    ['an address as it was asked for', ['203.0.113.9'], {}, ['203.0.113.9:443']],
    ['nothing for nothing', [], {}, []],
    ['nothing for what the config allows by now', ['pypi.org'], {}, []],
    ['nothing for what a proxy cannot carry', ['ntp.ubuntu.com:123', '169.254.169.254:80'], {}, []],
    ['nothing of another cloud', ['ml.azure.us'], {}, []],
    ['nothing against a rule of one’s own', ['a.test'], { rules: [{ name: 'no', hosts: ['a.test'], action: 'deny' }] }, []],
  ]
  for (const [because, asked, config, expected] of cases)
    it(`is ${because}`, () => expect(shown(suggestFor(asked, config))).toEqual(expected))

  it('is exactly the path and method, where a rule allows others', () => {
    const config = { rules: [{ name: 'models', hosts: ['raw.test'], paths: ['/team/*'], methods: ['GET'] }] }
    const request = (method: string, path: string, reason: DenialRecord['reason'] = 'path_not_listed') =>
      denial('raw.test', { reason, http: { method, path } })
    const suggestion = suggestFor(
      [
        request('GET', '/other/a'),
        request('GET', '/other/b'),
        request('PUT', '/team/x', 'method_not_listed'),
        request('GET', '/team/fine'),
        request('GET', '/with*star'),
      ],
      config,
    )
    expect(shown(suggestion)).toEqual(['raw.test:443 GET /other/a /other/b', 'raw.test:443 PUT /team/x'])
  })

  it('has names that nobody else has', () => {
    const config = { rules: [{ name: 'example-com', hosts: ['x.test'] }] }
    const { rules } = suggestFor(['a.example.com', 'a.example.com:22'], config)
    expect(rules.map(({ name }) => name)).toEqual(['example-com-22', 'example-com-443'])
    expect(suggestFor(['a.example.com'], config).rules.map(({ name }) => name)).toEqual(['example-com-2'])
  })

  it('leaves out what was asked for more rarely than wanted, and counts it', () => {
    const suggestion = suggestFor(['often.test', 'often.test', 'rare.test'], {}, 2)
    expect(shown(suggestion)).toEqual(['often.test:443'])
    expect(suggestion.belowMinimum).toEqual({ destinations: 1, requests: 1 })
  })
})

describe('what is left as it is', () => {
  const address = denial('git.test', { reason: 'address_refused', detail: '10.20.4.5 (Private-Use, RFC 1918)' })
  const OPEN = { rules: [{ name: 'git', hosts: ['git.test'] }] }
  const cases: readonly (readonly [what: string, asked: Asked, config: object, says: RegExp])[] = [
    ['another cloud’s host', 'ml.azure.us', {}, /cloud: government/],
    ['the platform’s own address', '168.63.129.16:80', {}, /NO_PROXY/],
    ['time sync', 'ntp.ubuntu.com:123', {}, /UDP/],
    ['what a rule refuses', 'a.test', { rules: [{ name: 'no', hosts: ['a.test'], action: 'deny' }] }, /`rule\/no` refuses it/],
    [
      'what a rule in report mode would refuse',
      denial('git.test', { reason: 'denied_by_rule', verdict: 'would_deny' }),
      {
        rules: [
          { name: 'git', hosts: ['git.test'] },
          { name: 'watch', hosts: ['git.test'], action: 'deny', mode: 'report' },
        ],
      },
      /`rule\/watch` would refuse it/,
    ],
    ['a private address, with the range to add', address, OPEN, /destinations: \["10.20.4.5\/32"\]/],
    ['a tunnel that named another host', denial('git.test', { reason: 'sni_mismatch' }), OPEN, /must be the host of the CONNECT/],
    [
      'what nobody could look into',
      denial('raw.test', { reason: 'inspection_unavailable' }),
      { rules: [{ name: 'raw', hosts: ['raw.test'], paths: ['/a/*'] }] },
      /ca init/,
    ],
    [
      'a path that the log does not tell',
      denial('raw.test', { reason: 'path_not_listed' }),
      { rules: [{ name: 'raw', hosts: ['raw.test'], paths: ['/a/*'] }] },
      /the log does not say/,
    ],
  ]
  for (const [what, asked, config, says] of cases)
    it(`is ${what}, and it is said why`, () => {
      const suggestion = suggestFor([asked], config)
      expect(shown(suggestion)).toEqual([])
      expect(suggestion.left.map(({ text }) => text)).toEqual([expect.stringMatching(says)])
    })

  it('is silent about quiet rules, and counts them', () => {
    const config = { rules: [{ name: 'hush', hosts: ['a.test'], action: 'deny', quiet: true }] }
    const suggestion = suggestFor(['a.test'], config)
    expect(suggestion.left).toEqual([])
    expect(suggestion.quiet).toEqual({ destinations: 1, requests: 1 })
  })

  it('is silent about a private address that the config allows by now', () => {
    const config = { rules: [{ name: 'git', hosts: ['git.test'], destinations: ['10.20.0.0/16'] }] }
    const suggestion = suggestFor([address], config)
    expect(suggestion.left).toEqual([])
    expect(suggestion.allowedNow).toEqual({ destinations: 1, requests: 1 })
  })
})

describe('a wildcard', () => {
  const cases: readonly (readonly [asked: readonly string[], wider: string | undefined, because: string])[] = [
    [['a.example.com', 'b.example.com'], '*.example.com', 'two hosts of one registrant'],
    [['example.com', 'b.example.com'], '*example.com', 'the domain itself among them'],
    [['a.example.com'], undefined, 'one host is no reason'],
    [['a.blob.core.windows.net:8443', 'b.blob.core.windows.net:8443'], undefined, 'every customer has accounts there'],
    [['a.azurewebsites.net', 'b.azurewebsites.net'], undefined, 'anybody’s web sites'],
    [['a.s3.amazonaws.com', 'b.s3.amazonaws.com'], undefined, 'anybody’s buckets'],
    [['a.github.io', 'b.github.io'], undefined, 'the public suffix list says so'],
    [['x.amazonaws.com', 'y.amazonaws.com'], undefined, 'it would cover the buckets under it'],
    [['a.co.uk', 'b.co.uk'], undefined, 'two registrants'],
    [['203.0.113.9', '203.0.113.8'], undefined, 'an address has nothing under it'],
  ]
  for (const [asked, wider, because] of cases)
    it(`is ${wider === undefined ? 'not offered' : `offered as \`${wider}\``} for ${asked.join(' and ')}: ${because}`, () => {
      const offered = suggestFor(asked).rules.flatMap((rule) => rule.wider ?? [])
      expect(offered).toEqual(wider === undefined ? [] : [wider])
    })

  it('is never what is suggested: hosts are exact', () => {
    for (const [asked] of cases)
      for (const { hosts } of suggestFor(asked).rules) expect(hosts.filter(({ host }) => host.includes('*'))).toEqual([])
  })

  it('that would reach every customer is refused aloud', () => {
    const remarks = suggestFor(['x.amazonaws.com', 'y.amazonaws.com']).rules.flatMap((rule) => rule.remarks)
    expect(remarks.join()).toMatch(/no wildcard: under `amazonaws.com` are names of every customer/)
  })

  it('is not needed to say that a host itself serves every customer', () => {
    const { rules } = suggestFor(['storage.googleapis.com'])
    expect(rules[0]?.remarks.join()).toMatch(/`storage.googleapis.com` itself serves every customer/)
  })
})

describe('after the changes were taken', () => {
  const label = fc.constantFrom('a', 'b', 'mystore', 'myreg', 'x-y', 'files', '_s')
  const ending = fc.constantFrom(
    'example.com',
    'blob.core.windows.net',
    'eastus2.data.azurecr.io',
    'azurecr.io',
    'pythonhosted.org',
    'in.applicationinsights.azure.com',
    'azurewebsites.net',
    's3.amazonaws.com',
    'azureml.ms',
    'hf.co',
    'ml.azure.us',
    'r-project.org',
  )
  const name = fc.tuple(fc.array(label, { maxLength: 2 }), ending).map(([labels, end]) => [...labels, end].join('.'))
  const literal = fc.constantFrom('10.1.2.3', '203.0.113.9', '[2001:db8::1]', '169.254.169.254', 'github.com', 'ntp.ubuntu.com')
  const target = fc
    .tuple(fc.oneof({ weight: 4, arbitrary: name }, literal), fc.constantFrom(80, 443, 443, 22, 8443, 123))
    .map(([host, port]) => `${host}:${port}`)
  const base = fc.constantFrom<Record<string, unknown>>(
    {},
    { features: { 'python-files': false, storage: false, r: false, 'container-registry': false } },
    { workspace: { storageAccounts: ['mystore'], regions: ['eastus2'] } },
    {
      rules: [
        { name: 'no', hosts: ['*.example.com'], ports: [22], action: 'deny' },
        { name: 'hf-co', hosts: ['hf.co'] },
      ],
    },
    { cloud: 'china' },
  )

  it('everything suggested is decided as promised, and there is nothing more to suggest (seeded)', () => {
    fc.assert(
      fc.property(fc.array(target, { minLength: 1, maxLength: 8 }), base, (asked, config) => {
        const suggestion = suggestFor(asked, config)
        const after = pasted(config, suggestion)
        const policy = policyFrom(after)
        const left = new Set(suggestion.left.map(({ destination }) => targetOf(destination)))
        for (const one of asked) {
          const authority = authorityOf(one)
          const decision = decide(policy, authority)
          const quiet = decision.verdict === 'deny' && decision.entry?.quiet === true
          expect(decision.verdict === 'allow' || quiet || left.has(one), one).toBe(true)
        }
        expect(shown(suggestFor(asked, after))).toEqual([])
      }),
      { seed: 5, numRuns: 60 },
    )
  })

  it('no rule reaches anything but the hosts that were asked for (seeded)', () => {
    fc.assert(
      fc.property(fc.array(target, { minLength: 1, maxLength: 8 }), base, (asked, config) => {
        const hosts = new Set(asked.map((one) => authorityOf(one).host.text))
        const { rules } = suggestFor(asked, config)
        for (const rule of rules) {
          for (const { host } of rule.hosts) expect(hosts).toContain(host)
          if (rule.wider === undefined || rule.action === 'deny') continue
          const suffix = parseHostname(rule.wider.replace(/^\*\.?/, ''))
          expect(suffix.ok && SHARED.ownershipOf(suffix.value as Hostname)).toEqual({
            kind: 'domain',
            domain: suffix.ok && suffix.value,
          })
        }
      }),
      { seed: 6, numRuns: 60 },
    )
  })
})

describe('each of the twenty failures', () => {
  const HARD = ['forward', 'no_proxy', 'cloud']
  for (const { failure, target, cloud, features = {}, expectRemedy = '' } of FAILURES)
    it(`${failure}: ${target} has a change, or a reason why there is none`, () => {
      const suggestion = suggestFor([target], { cloud, features, editions: ['2021-07-29'] })
      const changes = shown(suggestion)
      expect(changes.length + suggestion.left.length).toBeGreaterThan(0)
      if (HARD.includes(expectRemedy)) expect(changes).toEqual([])
      if (expectRemedy === 'none') expect(changes).toEqual([`!${authorityOf(target).host.text}`])
    })
})
