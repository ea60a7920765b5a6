import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { SharedSuffixes } from '../../../src/core/names/registrable-domain.ts'
import { sharedServicesSchema } from '../../../src/core/names/shared-service.ts'
import { lintWideHosts } from '../../../src/core/policy/lint-wide.ts'
import { policyFrom, policyOf } from '../../support/policy.ts'

const SHARED = new SharedSuffixes(
  sharedServicesSchema.parse(parse(readFileSync(new URL('../../../config/shared-suffixes.yaml', import.meta.url), 'utf8'))),
)

const told = (host: string, more: object = {}) =>
  lintWideHosts(policyOf([{ name: 'a', hosts: [host], ...more }]), SHARED).map(({ message }) => message)

describe('a rule that covers names of others', () => {
  const cases = [
    ['*.blob.core.windows.net', 'everybody can have a name (Azure Storage)', 'anybody opens an account'],
    ['*.core.chinacloudapi.cn', 'everybody can have a name (Azure Storage)', 'in China too'],
    ['*azurewebsites.net', 'everybody can have a name (Azure App Service', 'the bare suffix is covered as well'],
    ['*.github.io', 'everybody can have a name (a provider on the Public Suffix List)', 'the list says so'],
    ['*.co.uk', 'anybody can register a name', 'registrars sell them'],
    ['*.azure.com', 'everybody can have names (', 'shared names stand below'],
  ] as const
  for (const [host, whose, because] of cases)
    it(`is named for ${host}: ${because}`, () => {
      const [message, ...more] = told(host)
      expect(message).toContain(`\`rule/a\` covers \`${host}\`, where ${whose}`)
      expect(more).toEqual([])
    })

  const quiet = [
    ['mystore.blob.core.windows.net', 'one account is one account'],
    ['*.mysite.azurewebsites.net', 'what is under a name belongs to who has it'],
    ['*.example.com', 'one registrant has all of it'],
    ['*.corp', 'no registrar sells there'],
    ['*.lab.internal', 'likewise'],
  ] as const
  for (const [host, because] of quiet) it(`is not what ${host} is: ${because}`, () => expect(told(host)).toEqual([]))

  it('is no rule that denies', () => expect(told('*.github.io', { action: 'deny' })).toEqual([]))

  it('is no entry of the catalogue, which says itself who is behind it', () => {
    expect(lintWideHosts(policyFrom(''), SHARED)).toEqual([])
  })

  it('is named once where two groups share it', () => {
    const policy = policyOf([{ name: 'a', hosts: ['*.github.io'] }], {
      groups: { one: { sources: ['10.0.0.0/8'] }, two: { sources: ['10.1.0.0/16'] } },
    })
    expect(lintWideHosts(policy, SHARED)).toHaveLength(1)
  })
})
