import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatAuthority } from '../../../src/core/names/authority.ts'
import { readTarget } from '../../../src/core/wire/request-head.ts'

/** `authority path`, `origin path`, or the reason of a refusal. */
function target(method: string, text: string): string {
  const result = readTarget({ method, target: text })
  if (!result.ok) return result.error.reason
  const { value } = result
  if (value.form === 'origin') return `origin ${value.pathAndQuery}`
  const authority = formatAuthority(value.authority)
  return value.form === 'authority' ? authority : `${authority} ${value.pathAndQuery}`
}

describe('the target of a CONNECT', () => {
  const READ: readonly (readonly [text: string, expected: string])[] = [
    ['pypi.org:443', 'pypi.org:443'],
    ['PyPI.ORG.:443', 'pypi.org:443'],
    ['1password.com:443', '1password.com:443'],
    ['10.1.2.3:22', '10.1.2.3:22'],
    ['[2001:DB8:0::1]:443', '[2001:db8::1]:443'],
    ['h:65535', 'h:65535'],
    ['h:1', 'h:1'],
  ]
  for (const [text, expected] of READ) it(`${text} is ${expected}`, () => expect(target('CONNECT', text)).toBe(expected))

  const REFUSED = [
    'user@h:443',
    'user:password@h:443',
    'h:443/p',
    'http://h:443',
    'https://h:443/',
    'h',
    'h:',
    ':443',
    '',
    'HTTP/1.1',
    '/',
    '/path',
    '*',
    'h,x:443',
    'h;x:443',
    'h:443,x:443',
    '%66oo:443',
    '*.h:443',
    'h..com:443',
    '.h:443',
    'h#:443',
    'h?:443',
    'h\\x:443',
    'h:0',
    'h:0443',
    'h:+443',
    'h:-443',
    'h:99999',
    'h:65536',
    'h:4 43',
    'h:443 ',
    'h:0x1bb',
    'h:\u0664\u0664\u0663',
    'h:443:443',
    '[example.com]:443',
    '[10.1.2.3]:443',
    '[::1:443',
    '::1:443',
    '[::1]',
    '[fe80::1%25eth0]:443',
    'fe80::1%eth0:443',
    'h\0.example:443',
    '127.0.0.1\0.example.com:443',
    'h\r\nx:443',
    '2130706433:443',
    '0177.0.0.1:443',
    '0x7f.1:443',
    '127.1:443',
    '127.0.0.1.:443',
    '\u2460\u2461\u2466.0.0.1:443',
    '\uff11\uff12\uff17.0.0.1:443',
    'b\u00fccher.example:443',
    '-h.example:443',
    `${'a'.repeat(64)}.example:443`,
    `${'a.'.repeat(128)}:443`,
  ]
  for (const text of REFUSED)
    it(`${JSON.stringify(text.slice(0, 60))} is malformed (cases 8, 9, 12, 13, 15)`, () => {
      expect(target('CONNECT', text)).toBe('malformed_request')
    })
})

describe('the target of any other request', () => {
  const CASES: readonly (readonly [text: string, expected: string, because: string, method?: string])[] = [
    ['http://h/a?b', 'h:80 /a?b', 'absolute form'],
    ['HTTP://H.Example./A', 'h.example:80 /A', 'scheme and host have no case, the path has'],
    ['http://h', 'h:80 /', 'an empty path is `/` (RFC 9112 section 3.2.1)'],
    ['http://h?q=/x', 'h:80 /?q=/x', 'an empty path before a query'],
    ['http://h', 'h:80 *', 'and `*` for OPTIONS (section 3.2.4)', 'OPTIONS'],
    ['http://h/', 'h:80 /', 'but only an empty one', 'OPTIONS'],
    ['http://h:8080/a', 'h:8080 /a', 'with a port'],
    ['http://[2001:db8::1]/a', '[2001:db8::1]:80 /a', 'IPv6'],
    ['http://h//a/../b%2e', 'h:80 //a/../b%2e', 'the path stays exactly as received'],
    ['http://h/http://other/', 'h:80 /http://other/', 'what looks like a URL in a path is a path'],
    ['http://h/a@b:c', 'h:80 /a@b:c', 'and an `@` in it is no user information'],
    ['http://h?u@other', 'h:80 /?u@other', 'nor is one in a query'],
    ['/a?b', 'origin /a?b', 'origin form; whether it is a proxy request is not decided here'],
    ['//other/a', 'origin //other/a', 'two slashes are still a path'],
    ['*', 'not_a_proxy_request', 'about this server', 'OPTIONS'],
    ['h:80', 'not_a_proxy_request', 'an authority is for CONNECT'],
    ['', 'not_a_proxy_request', 'no request without a target (case 36)'],
    ['h/a', 'not_a_proxy_request', 'neither a path nor a URL'],
    ['http:/h/a', 'not_a_proxy_request', 'one slash makes no authority'],
    ['http:h', 'not_a_proxy_request', 'nor none'],
    ['https://h/a', 'scheme_not_supported', 'https goes through CONNECT'],
    ['ftp://h/a', 'scheme_not_supported', 'ftp is not carried'],
    ['ws://h/a', 'scheme_not_supported', 'WebSocket over plain HTTP is an http URL with Upgrade'],
    ['httpx://h/a', 'scheme_not_supported', 'near miss'],
    ['http://', 'malformed_request', 'no host'],
    ['http:///a', 'malformed_request', 'no host'],
    ['http://:80/a', 'malformed_request', 'no host'],
    ['http://h:/a', 'malformed_request', 'no port after the colon'],
    ['http://h:0/a', 'malformed_request', 'no such port (case 9)'],
    ['http://h:080/a', 'malformed_request', 'a leading zero (case 9)'],
    ['http://user@h/a', 'malformed_request', 'user information (case 11)'],
    ['http://listed@evil/a', 'malformed_request', 'user information (case 11)'],
    ['http://h/a#b', 'malformed_request', 'a fragment never leaves the client'],
    ['http://h#@evil/', 'malformed_request', 'readers disagree on where the host ends'],
    ['http://h\\@evil/', 'malformed_request', 'readers disagree on where the host ends'],
    ['http://h%2eexample/', 'malformed_request', 'an escape in a host (case 13)'],
    ['http://h%00.example/', 'malformed_request', 'an escape in a host (case 13)'],
    ['http://127.1/', 'malformed_request', 'a short address (case 15)'],
    ['http://[h]/', 'malformed_request', 'brackets round a name (case 12)'],
    ['http://h,other/', 'malformed_request', 'two hosts'],
    [' http://h/', 'not_a_proxy_request', 'a space before the scheme'],
  ]
  for (const [text, expected, because, method = 'GET'] of CASES)
    it(`${method} ${JSON.stringify(text)} is ${expected}: ${because}`, () => expect(target(method, text)).toBe(expected))
})

describe('whatever arrives', () => {
  const bytes = fc.string({ unit: 'binary', maxLength: 60 })
  const alike = fc.string({ unit: fc.constantFrom(...'http://a.b:80[]%@?#\\*,;\0\r\n \u00e9'), maxLength: 30 })

  it('is read without throwing, and refused in bounded printable words (seeded)', () => {
    fc.assert(
      fc.property(fc.constantFrom('CONNECT', 'GET', 'OPTIONS'), fc.oneof(bytes, alike), (method, text) => {
        const result = readTarget({ method, target: text })
        if (result.ok) return
        expect(result.error.detail).toMatch(/^[\x20-\x7e]{1,400}$/)
      }),
      { seed: 8, numRuns: 5_000 },
    )
  })

  it('is one authority for everybody who reads it, where it is taken (seeded)', () => {
    fc.assert(
      fc.property(alike, (text) => {
        const result = readTarget({ method: 'GET', target: `http://${text}` })
        if (!result.ok || result.value.form !== 'absolute') return
        const { host, port } = result.value.authority
        const url = new URL(`http://${text.split('?')[0]}`)
        expect(url.hostname.replace(/^\[|\]$|\.$/g, '')).toBe(host.text)
        expect(Number(url.port || 80)).toBe(port)
      }),
      { seed: 11, numRuns: 20_000 },
    )
  })
})
