import { describe, expect, it } from 'vitest'
import { formatHostPattern, parseHostPattern } from '../../../src/core/policy/host-pattern.ts'
import { unwrap } from '../../support/policy.ts'

describe('a host pattern', () => {
  const READ: readonly (readonly [text: string, kind: string, canonical?: string])[] = [
    ['pypi.org', 'exact'],
    ['1password.com', 'exact'],
    ['localhost', 'exact'],
    ['_dmarc.example.com', 'exact'],
    ['xn--bcher-kva.example', 'exact'],
    ['*.anaconda.org', 'under'],
    ['*.com', 'under'],
    ['*pytorch.org', 'within'],
    ['10.1.2.3', 'exact'],
    ['2001:db8::1', 'exact'],
    ['[2001:db8::1]', 'exact', '2001:db8::1'],
    ['2001:DB8::0:1', 'exact', '2001:db8::1'],
    ['::ffff:10.1.2.3', 'exact'],
  ]
  for (const [text, kind, canonical = text] of READ)
    it(`${text} is ${kind} and reads back`, () => {
      const pattern = unwrap(parseHostPattern(text))
      expect(pattern.kind).toBe(kind)
      expect(formatHostPattern(pattern)).toBe(canonical)
    })

  const REFUSED: readonly (readonly [text: string, message: RegExp])[] = [
    ['*', /would allow every host.*`mode: report`/],
    ['*.', /would allow every host/],
    ['https://pypi.org', /is a URL; write the host here, its port in `ports` and its path in `paths`/],
    ['https://pypi.org/simple', /is a URL/],
    ['pypi.org/simple', /has a `\/`; write the host here and the path in `paths`/],
    ['10.0.0.0/8', /an address range in `addresses`/],
    ['pypi.org:443', /`pypi\.org:443` has a port; write the host here and the port in `ports`/],
    ['pypi.org:', /has a port/],
    ['[2001:db8::1]:443', /has a port/],
    ['2001:db8::1:443:', /IPv6/],
    ['10.1.2.3:443', /has a port/],
    ['a.*.example.com', /a `\*` stands only at the beginning, as in `\*\.example\.com`/],
    ['api*.example.com', /a `\*` stands only at the beginning/],
    ['*.*.example.com', /only one `\*` is allowed/],
    ['**.example.com', /only one `\*` is allowed/],
    ['API.Example.com', /`API\.Example\.com` is not in normal form; use `api\.example\.com`/],
    ['pypi.org.', /not in normal form; use `pypi\.org`/],
    ['*.Example.com', /not in normal form; use `example\.com`/],
    ['', /empty/],
    [' pypi.org', /remove the space/],
    ['b\u00fccher.example', /A-label/],
    ['127.1', /ends in a number/],
    ['0177.0.0.1', /ends in a number/],
    ['*.0.0.1', /ends in a number/],
    ['*10.1.2.3', /is an address/],
    ['fe80::1%eth0', /zone/],
    ['a..b', /label/],
    ['user@pypi.org', /user information/],
  ]
  for (const [text, message] of REFUSED)
    it(`is not ${JSON.stringify(text)}`, () => {
      const refused = parseHostPattern(text)
      expect(refused.ok ? 'read' : refused.error).toMatch(message)
    })

  it('says what is wrong in printable characters, whatever was written', () => {
    for (const text of ['a\n.example', 'a\u202e/b', '*\u0000x*', 'A\u001b[2J.example', 'x*\u2028', 'a\u0085://b']) {
      const refused = parseHostPattern(text)
      expect(refused.ok ? 'read' : refused.error).toMatch(/^[\x20-\x7e]+$/)
    }
  })
})
