import { describe, expect, it } from 'vitest'
import { parseHostname } from '../../../src/core/names/hostname.ts'
import { parseIp } from '../../../src/core/names/ip.ts'
import { nameOfHello, transparentTarget } from '../../../src/core/policy/transparent-target.ts'
import type { ClientHello } from '../../../src/core/wire/client-hello.ts'
import { policyOf, unwrap } from '../../support/policy.ts'

const policy = policyOf(`
- { name: named, hosts: [allowed.test], ports: [443] }
- { name: paths, hosts: [paths.test], ports: [80], paths: ["/team/*"] }
- { name: refused, hosts: [refused.test], action: deny }
- { name: address, hosts: ["20.60.0.10", "2603:1030::10"], ports: [443, 22, 80], protocol: any }
- { name: closed, hosts: ["20.60.0.66"], action: deny }
`)

const CASES: readonly {
  readonly name: string | undefined
  readonly to: string
  readonly port: number
  readonly path?: string
  readonly by: 'name' | 'address'
  readonly because: string
}[] = [
  { name: 'allowed.test', to: '20.60.0.10', port: 443, by: 'name', because: 'a name entry matches' },
  {
    name: 'allowed.test',
    to: '20.60.9.9',
    port: 443,
    by: 'name',
    because: 'the address that the client claims is not looked at',
  },
  { name: 'other.test', to: '20.60.0.10', port: 443, by: 'address', because: 'no name entry matches, and an address entry does' },
  { name: 'other.test', to: '2603:1030::10', port: 443, by: 'address', because: 'IPv6 counts as well' },
  { name: 'other.test', to: '20.60.0.11', port: 443, by: 'name', because: 'neither matches, and the name is what is told' },
  { name: 'other.test', to: '20.60.0.66', port: 443, by: 'name', because: 'an address that is denied allows nothing' },
  {
    name: 'allowed.test',
    to: '20.60.0.10',
    port: 22,
    by: 'address',
    because: 'the name is not listed on this port; without it the address would do',
  },
  { name: 'allowed.test', to: '20.60.0.11', port: 22, by: 'name', because: 'the port is not listed for either' },
  { name: 'refused.test', to: '20.60.0.10', port: 443, by: 'name', because: 'a deny rule for the name is no lack of an entry' },
  { name: 'paths.test', to: '20.60.0.10', port: 80, path: '/other', by: 'name', because: 'the name is listed, for other paths' },
  { name: undefined, to: '20.60.0.10', port: 443, by: 'address', because: 'there is no name' },
  { name: undefined, to: '20.60.0.11', port: 443, by: 'address', because: 'there is no name, allowed or not' },
]

describe('a redirected request', () => {
  for (const { name, to, port, path, by, because } of CASES)
    it(`for ${name ?? 'no name'} at ${to}:${port} is decided by its ${by}: ${because}`, () => {
      const address = parseIp(to)
      if (address === undefined) throw new Error(to)
      const hostname = name === undefined ? undefined : unwrap(parseHostname(name))
      const http = path === undefined ? undefined : { method: 'GET', path }
      const target = transparentTarget(policy, hostname, { address, port }, http)
      expect(target.byAddress).toBe(by === 'address')
      expect(target.request).toEqual({
        host: expect.objectContaining({ text: by === 'address' ? to : name }),
        port,
        ...(http && { http }),
      })
    })
})

const hello = (said: Partial<ClientHello>): ClientHello => ({
  serverNames: [],
  hasOtherNameTypes: false,
  alpn: [],
  ech: false,
  supportedVersions: [],
  earlyData: false,
  length: 0,
  ...said,
})

describe('the name in a ClientHello', () => {
  it('is canonical', () => {
    expect(nameOfHello(hello({ serverNames: ['Allowed.TEST.'] }), 'pass')).toEqual({ kind: 'named', name: 'allowed.test' })
  })
  it('may be missing', () => {
    expect(nameOfHello(hello({}), 'pass')).toEqual({ kind: 'named' })
  })

  const refused: readonly (readonly [string, Partial<ClientHello>, 'pass' | 'refuse', string])[] = [
    ['two names', { serverNames: ['allowed.test', 'evil.test'] }, 'pass', 'sni_mismatch'],
    ['a name of another type', { serverNames: ['allowed.test'], hasOtherNameTypes: true }, 'pass', 'sni_mismatch'],
    ['an address', { serverNames: ['20.60.0.10'] }, 'pass', 'sni_mismatch'],
    ['a NUL', { serverNames: ['allowed.test\0.evil.test'] }, 'pass', 'sni_mismatch'],
    ['ECH where that is refused', { serverNames: ['allowed.test'], ech: true }, 'refuse', 'ech_refused'],
  ]
  for (const [what, said, ech, reason] of refused)
    it(`is not believed with ${what}`, () => {
      expect(nameOfHello(hello(said), ech)).toMatchObject({ kind: 'refused', denial: { reason } })
    })
  it('stands with ECH where that passes', () => {
    expect(nameOfHello(hello({ serverNames: ['allowed.test'], ech: true }), 'pass')).toEqual({
      kind: 'named',
      name: 'allowed.test',
    })
  })
})
