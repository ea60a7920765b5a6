import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { EXPORT_TARGETS } from '../../../src/core/export/targets.ts'
import { importAzureFirewall } from '../../../src/core/import/azure-firewall.ts'
import { importedYaml } from '../../../src/core/import/imported.ts'
import { importSmokescreen } from '../../../src/core/import/smokescreen.ts'
import { importSquid } from '../../../src/core/import/squid.ts'
import { decide } from '../../../src/core/policy/decide.ts'
import { configFrom, policyOf, requestTo } from '../../support/policy.ts'

describe('a list of domains for Squid', () => {
  it('becomes one rule; a leading dot is the name and what is under it', () => {
    const { rules, left } = importSquid('# ours\n.pytorch.org\npypi.org # the index\n\n203.0.113.7\nbad_host!\n', 'allowed')
    expect(rules).toEqual([{ name: 'allowed', hosts: ['*pytorch.org', 'pypi.org', '203.0.113.7'] }])
    expect(left).toEqual(['line 6: `bad_host!` is no host', 'ports: a list of domains has none, so rules cover 80 and 443'])
  })

  it('is read from the lines of a squid.conf too, deny lists as deny rules, and all else is told', () => {
    const text = [
      'http_port 3128',
      'acl good dstdomain .example.com pypi.org',
      'acl good dstdomain -n more.example.org',
      'acl bad dstdomain gist.example.com',
      'acl office src 10.0.0.0/8',
      'acl file dstdomain "/etc/squid/list.txt"',
      'http_access deny bad',
      'http_access allow good',
      'http_access allow office good',
    ].join('\n')
    const { rules, left } = importSquid(text, 'squid')
    expect(rules).toEqual([
      { name: 'good', hosts: ['*example.com', 'pypi.org', 'more.example.org'] },
      { name: 'bad', hosts: ['gist.example.com'], action: 'deny' },
    ])
    expect(left).toEqual([
      'line 1: `http_port 3128` is no list of domains',
      'line 5: acl `office` is of kind `src`; only lists of domains are read',
      'line 6: the list stands in "/etc/squid/list.txt"; import that file',
      'line 9: `http_access allow office good` is not carried over; what it lets out under its conditions is not',
      'ports: a list of domains has none, so rules cover 80 and 443',
    ])
  })

  it('leaves out a list that is let out under conditions, or not at all: a rule would let out more', () => {
    const text = [
      'acl ok dstdomain .pypi.org',
      'acl git dstdomain git.example.com',
      'acl web port 443 8443',
      'acl spread port 1025-65535',
      'acl unused dstdomain github.com',
      'acl admin_only dstdomain dropbox.com',
      'acl admins src 10.0.0.5/32',
      'acl blocked dstdomain .evil.test',
      'acl wl dstdomain .good.test',
      'acl late dstdomain late.test',
      'http_access allow ok',
      'http_access allow git web',
      'http_access allow admins admin_only',
      'http_access allow !blocked',
      'http_access allow wl spread',
      'http_access deny !wl',
      'http_access deny all',
      'http_access allow late',
    ].join('\n')
    const { rules, left } = importSquid(text, 'squid')
    expect(rules).toEqual([
      { name: 'ok', hosts: ['*pypi.org'] },
      { name: 'git', hosts: ['git.example.com'], ports: [443, 8443] },
    ])
    expect(left).toEqual([
      'line 4: acl `spread` has ports that are no single numbers',
      'line 7: acl `admins` is of kind `src`; only lists of domains are read',
      'line 13: `http_access allow admins admin_only` is not carried over; what it lets out under its conditions is not',
      'line 14: `http_access allow !blocked` is not carried over; what it lets out under its conditions is not',
      'line 15: `http_access allow wl spread` is not carried over; what it lets out under its conditions is not',
      'line 16: `http_access deny !wl` is not carried over; what it refuses may be let out by rules here',
      'line 18: `http_access allow late` comes after `deny all`, which leaves nothing for it',
      'acl `unused` is left out: no `http_access` line names it, and a rule would let all of it out',
      'acl `admin_only` is left out: line 13 names it with conditions, and a rule would let all of it out',
      'acl `blocked` is left out: line 14 names it with conditions, and a rule would let all of it out',
      'acl `wl` is left out: line 16 names it with conditions, and a rule would let all of it out',
      'acl `late` is left out: no `http_access` line names it, and a rule would let all of it out',
      'ports: a list of domains has none, so rules cover 80 and 443',
    ])
  })

  it('takes the lists of a file that has nothing but lists, and says so', () => {
    const { rules, left } = importSquid('acl ours dstdomain .example.com', 'squid')
    expect(rules).toEqual([{ name: 'ours', hosts: ['*example.com'] }])
    expect(left).toContain('there is no `http_access` line: every list is taken for one that is let out')
  })
})

describe('rule collections of Azure Firewall', () => {
  const classic = {
    type: 'Microsoft.Network/azureFirewalls',
    properties: {
      applicationRuleCollections: [
        {
          name: 'apps',
          properties: {
            priority: 100,
            action: { type: 'Allow' },
            rules: [
              {
                name: 'aml',
                sourceAddresses: ['10.0.0.0/24'],
                protocols: [
                  { protocolType: 'Https', port: 443 },
                  { protocolType: 'Http', port: 80 },
                ],
                targetFqdns: ['ml.azure.com', '*.azureml.ms', '*pytorch.org'],
              },
              { name: 'tagged', protocols: [{ protocolType: 'Https', port: 443 }], fqdnTags: ['AzureKubernetesService'] },
              { name: 'sql', protocols: [{ protocolType: 'Mssql', port: 1433 }], targetFqdns: ['x.database.windows.net'] },
              { name: 'all', protocols: [{ protocolType: 'Https', port: 443 }], targetFqdns: ['*'] },
            ],
          },
        },
      ],
      networkRuleCollections: [
        {
          name: 'net',
          properties: {
            action: { type: 'Deny' },
            rules: [
              {
                name: 'range',
                protocols: ['TCP'],
                destinationAddresses: ['198.51.0.0/17', 'AzureMonitor'],
                destinationPorts: ['443', '8000-8002'],
              },
              { name: 'ntp', protocols: ['UDP'], destinationAddresses: ['*'], destinationPorts: ['123'] },
            ],
          },
        },
      ],
    },
  }

  it('are read from a classic firewall; what has no counterpart is told', () => {
    const { rules, left } = importAzureFirewall(classic)
    expect(rules).toEqual([
      { name: 'aml', hosts: ['ml.azure.com', '*.azureml.ms', '*pytorch.org'], ports: [443] },
      { name: 'aml-2', hosts: ['ml.azure.com', '*.azureml.ms', '*pytorch.org'], ports: [80] },
      { name: 'range', ports: [443, 8000, 8001, 8002], action: 'deny', addresses: ['198.51.0.0/17'] },
    ])
    expect(left).toEqual([
      'apps/aml: its source addresses: a rule is for every client, unless `clients.allow` or a group says otherwise',
      'apps/aml: `*pytorch.org` covers `anypytorch.org` there, and here the name and what is under it',
      'apps/tagged: FQDN tags AzureKubernetesService: only Azure knows what is in them',
      'apps/sql: protocol `Mssql` is neither HTTP nor HTTPS',
      'apps/all: `*` allows every host; list them, or use report mode to see which are asked for',
      'net/range: `AzureMonitor` is no range; of a service tag see `serviceTags`',
      'net/ntp: UDP cannot be proxied; routes and forwarding carry it',
    ])
  })

  it('are read from an array of collections, as `az` prints a group', () => {
    const { rules } = importAzureFirewall({
      ruleCollections: [
        {
          name: 'c',
          ruleCollectionType: 'FirewallPolicyFilterRuleCollection',
          action: { type: 'Allow' },
          rules: [
            {
              ruleType: 'ApplicationRule',
              name: 'url',
              protocols: [{ protocolType: 'Https', port: 443 }],
              targetUrls: ['raw.example.com/team/*', 'raw.example.com/x', 'whole.example.com'],
              terminateTLS: true,
            },
            {
              ruleType: 'NetworkRule',
              name: 'ssh',
              ipProtocols: ['TCP'],
              destinationFqdns: ['git.example.com'],
              destinationPorts: ['22'],
            },
            { ruleType: 'NatRule', name: 'nat' },
          ],
        },
      ],
    })
    expect(rules).toEqual([
      { name: 'url', hosts: ['raw.example.com'], ports: [443], paths: ['/team/*', '/x'] },
      { name: 'url-2', hosts: ['whole.example.com'], ports: [443] },
      { name: 'ssh', hosts: ['git.example.com'], ports: [22], protocol: 'any' },
    ])
  })

  it('come back from an export deciding as they went', () => {
    const rules = `
      - { name: git, hosts: [git.example.com, "*.git.example.com"], ports: [443] }
      - { name: ssh, hosts: [git.example.com], ports: [22], protocol: any }
      - { name: raw, hosts: [raw.example.com], paths: ["/team/*"] }
      - { name: torch, hosts: ["*pytorch.org"] }
      - { name: plain, hosts: [plain.example.com], ports: [8080], protocol: http }
      - { name: no, hosts: [secrets.git.example.com], action: deny }
      - { name: range, addresses: ["198.51.0.0/17"], ports: [443] }
    `
    const before = policyOf(rules)
    const target = EXPORT_TARGETS['azure-firewall-arm']
    const text = target?.(before, { priority: 1000, sources: ['*'], clients: configFrom({}).clients.allow }).text ?? ''
    const imported = importAzureFirewall(JSON.parse(text))
    expect(imported.left).toEqual([])
    const after = policyOf(imported.rules)
    const hosts = [
      'git.example.com',
      'a.git.example.com',
      'secrets.git.example.com',
      'raw.example.com',
      'pytorch.org',
      'x.pytorch.org',
      'evilpytorch.org',
      'plain.example.com',
      '198.51.7.7',
      '198.51.200.7',
      'other.example',
    ]
    for (const host of hosts)
      for (const port of [22, 80, 443, 8080])
        for (const path of ['', '/team/x', '/other']) {
          const target = `${host}:${port}${path}`
          expect([target, decide(after, requestTo(target)).verdict]).toEqual([target, decide(before, requestTo(target)).verdict])
        }
  })

  it.each([[null], [{}], [[]], ['text'], [{ applicationRuleCollections: [{ name: 1 }] }]])(
    'are told to be missing where there are none: %j',
    (value) => {
      expect(importAzureFirewall(value)).toEqual({ rules: [], left: ['there is no rule collection in it'] })
    },
  )
})

describe("an ACL of Smokescreen's", () => {
  it('becomes a rule a service, and one for each global list', () => {
    const { rules, left } = importSmokescreen({
      version: 'v1',
      services: [
        { name: 'training jobs', project: 'ml', action: 'enforce', allowed_domains: ['*.example.com', 'pypi.org'] },
        { name: 'loose', project: 'ml', action: 'open' },
        { name: 'broken', allowed_domains: ['a*b.example.com'] },
      ],
      default: { project: 'other', action: 'report', allowed_domains: ['default.example.com'] },
      global_deny_list: ['evil.example.com'],
    })
    expect(rules).toEqual([
      { name: 'global-deny-list', hosts: ['evil.example.com'], action: 'deny' },
      { name: 'training-jobs', hosts: ['*.example.com', 'pypi.org'], owner: 'ml' },
      { name: 'default', hosts: ['default.example.com'], owner: 'other' },
    ])
    expect(left).toEqual([
      'loose: `action: open` lets out every host; list those that are needed',
      'broken: `a*b.example.com`: a `*` stands only at the beginning, as in `*.example.com`',
      'default: `action: report` is a mode of the whole gateway or of one deny rule here',
      'who each service is: here a rule is for every client, unless it names client groups',
      'ports: a domain has none there, so rules cover 80 and 443',
    ])
  })

  it('is told from something else', () => {
    for (const value of [null, [], 'text', { version: 'v1' }])
      expect(importSmokescreen(value).left).toEqual([
        'it is no egress ACL of Smokescreen: there are neither `services` nor lists in it',
      ])
  })
})

describe('imported rules', () => {
  it('are YAML that the config takes, whatever names were given', () => {
    const odd = importSmokescreen({
      services: [
        { name: 'on', allowed_domains: ['a.example.com'] },
        { name: '* "x": [', allowed_domains: ['b.example.com'] },
        { name: 'ON', allowed_domains: ['c.example.com'] },
      ],
    })
    const text = importedYaml(odd, 'smokescreen')
    const { rules } = configFrom(text)
    expect(rules.map(({ name }) => name)).toEqual(['on', 'x-', 'ON-2'])
    expect(parse(text).rules).toEqual(odd.rules)
  })

  it('say so where there are none', () => {
    expect(importedYaml({ rules: [], left: ['why'] }, 'squid')).toBe(
      '# sallyport import: 0 rules from squid; read each line, then `sallyport check`\n# not carried over:\n#   why\nrules: []\n',
    )
  })
})
