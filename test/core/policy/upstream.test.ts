import { describe, expect, it } from 'vitest'
import { parseParent } from '../../../src/core/config/upstream.ts'
import { parseHost } from '../../../src/core/names/authority.ts'
import type { Hostname } from '../../../src/core/names/hostname.ts'
import { parseHostPattern } from '../../../src/core/policy/host-pattern.ts'
import type { Pin } from '../../../src/core/policy/policy.ts'
import { chooseUpstream, type UpstreamSection } from '../../../src/core/policy/upstream.ts'
import type { Result } from '../../../src/core/result.ts'

function unwrap<T>(result: Result<T, unknown>): T {
  if (!result.ok) throw new Error(String(result.error))
  return result.value
}

const patterns = (texts: readonly string[]) => texts.map((text) => unwrap(parseHostPattern(text)))
const host = (text: string) => unwrap(parseHost(text))
const section = (proxy: string, match?: readonly string[], noProxy: readonly string[] = []): UpstreamSection => ({
  ...(match && { match: patterns(match) }),
  noProxy: patterns(noProxy),
  proxy: [unwrap(parseParent(proxy))],
})

const SECTIONS = [
  section(
    'http://team.test:3128',
    ['git.example.com', '*.example.com', '10.1.2.3'],
    ['direct.example.com', '*.near.example.com'],
  ),
  section('http://all.test:3128', undefined, ['plain.test', '203.0.113.9', '2001:db8::9']),
]
const PINS = new Map([['pinned.example.com' as Hostname, { address: undefined as unknown as Pin['address'] }]])

describe('the parent of a host', () => {
  const cases = [
    { asked: 'git.example.com', parent: 'http://team.test:3128', because: 'it is named' },
    { asked: 'a.b.example.com', parent: 'http://team.test:3128', because: 'any depth counts' },
    { asked: 'example.com', parent: 'http://all.test:3128', because: 'the apex is not under itself' },
    { asked: 'evil-example.com', parent: 'http://all.test:3128', because: 'labels are compared, not text endings' },
    { asked: 'direct.example.com', parent: undefined, because: '`noProxy` of the section that matches is final' },
    { asked: 'x.direct.example.com', parent: 'http://team.test:3128', because: '`noProxy` names one host, not what is under it' },
    { asked: 'near.example.com', parent: 'http://team.test:3128', because: '`*.near` leaves the name itself out' },
    { asked: 'x.near.example.com', parent: undefined, because: 'it is under `noProxy`' },
    { asked: 'plain.test', parent: undefined, because: 'the section of every host leaves it out' },
    { asked: 'explain.test', parent: 'http://all.test:3128', because: 'it only ends in the same letters' },
    { asked: '10.1.2.3', parent: 'http://team.test:3128', because: 'an address is named as a host is' },
    { asked: '10.1.2.30', parent: 'http://all.test:3128', because: 'it is another address' },
    { asked: '203.0.113.9', parent: undefined, because: '`noProxy` names the address' },
    { asked: '[::ffff:203.0.113.9]', parent: undefined, because: 'it is the same address, mapped' },
    { asked: '[2001:db8:0::9]', parent: undefined, because: 'addresses are compared, not their spellings' },
    { asked: 'pinned.example.com', parent: undefined, because: 'a pin is an address to dial' },
    { asked: 'x.pinned.example.com', parent: 'http://team.test:3128', because: 'a pin is of one name' },
  ] as const
  for (const { asked, parent, because } of cases)
    it(`is ${parent ?? 'none'} for ${asked}: ${because}`, () => {
      expect(chooseUpstream(SECTIONS, { pins: PINS }, host(asked))?.proxy[0]?.label).toBe(parent)
    })

  it('is none where there is no section, and none for what no section matches', () => {
    expect(chooseUpstream([], { pins: PINS }, host('a.test'))).toBeUndefined()
    expect(chooseUpstream([section('http://p.test:1', ['b.test'])], { pins: PINS }, host('a.test'))).toBeUndefined()
  })
})

describe('a parent as it is written', () => {
  const good = [
    ['http://parent.test:3128', 'http://parent.test:3128'],
    ['https://parent.test:3129/', 'https://parent.test:3129'],
    ['http://10.0.0.9:3128', 'http://10.0.0.9:3128'],
    ['http://[2001:DB8::1]:3128', 'http://[2001:db8::1]:3128'],
    ['http://Parent.Test:3128', 'http://parent.test:3128'],
  ] as const
  for (const [text, label] of good) it(`${text} is ${label}`, () => expect(unwrap(parseParent(text)).label).toBe(label))

  const bad = [
    ['parent.test:3128', /is no proxy/],
    ['socks5://parent.test:1080', /is no proxy/],
    ['HTTP://parent.test:3128', /is no proxy/],
    ['http://parent.test', /no port/],
    ['http://parent.test:0', /is not a port/],
    ['http://user:secret@parent.test:3128', /passwordFile/],
    ['http://parent.test:3128/path', /has a path/],
    ['http://parent.test:3128?x', /has a path/],
    ['http://169.254.169.254:3128', /instance metadata service/],
    ['http://168.63.129.16:80', /wire server/],
    ['http://[::ffff:169.254.169.254]:80', /instance metadata service/],
    ['http://0.0.0.0:3128', /every address of this host/],
    ['http://[::]:3128', /every address of this host/],
  ] as const
  for (const [text, message] of bad)
    it(`${text} is refused`, () => {
      const result = parseParent(text)
      expect(result.ok ? 'accepted' : result.error).toMatch(message)
    })

  it('never repeats a password', () => {
    const result = parseParent('http://user:hunter2@parent.test:3128')
    expect(JSON.stringify(result)).not.toContain('hunter2')
  })
})
