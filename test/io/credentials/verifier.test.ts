import { describe, expect, it } from 'vitest'
import { parseCredentials } from '../../../src/core/config/credential-file.ts'
import { readBasic } from '../../../src/io/credentials/basic.ts'
import { credentialLine, isRight } from '../../../src/io/credentials/password-hash.ts'
import { CredentialVerifier } from '../../../src/io/credentials/verifier.ts'
import { userLine } from '../../support/credentials.ts'
import { unwrap } from '../../support/policy.ts'

const USERS = unwrap(parseCredentials(`${userLine('alice', 'right')}\n${userLine('bob', 'also right')}\n`))

/** A verifier that counts how often it looks, on a clock that stands still. */
function verifier(failuresPerMinute = 5) {
  const state = { nowMs: 0, looks: 0, running: 0, most: 0 }
  const one = new CredentialVerifier({
    failuresPerMinute: () => failuresPerMinute,
    nowMs: () => state.nowMs,
    check: async (record, password) => {
      state.looks++
      state.most = Math.max(state.most, ++state.running)
      const right = await isRight(record, password)
      state.running--
      return right
    },
  })
  const verify = (user: string, password: string, client = '10.0.0.7', users = USERS) =>
    one.verify(users, client, { user, password })
  return { state, verify }
}

describe('a verifier of credentials', () => {
  it('tells right from wrong', async () => {
    const { verify } = verifier(100)
    for (const [user, password, verdict] of [
      ['alice', 'right', 'right'],
      ['alice', 'right ', 'wrong'],
      ['alice', 'Right', 'wrong'],
      ['alice', 'also right', 'wrong'],
      ['Alice', 'right', 'wrong'],
      ['carol', 'right', 'wrong'],
      ['alice', '', 'wrong'],
      ['', 'right', 'wrong'],
      ['alice', 'x'.repeat(1025), 'wrong'],
    ] as const)
      expect(await verify(user, password), `${user}:${password.slice(0, 20)}`).toBe(verdict)
  })

  it('looks at the same credentials once, on however many connections they come, and then remembers', async () => {
    const { verify, state } = verifier()
    expect(await Promise.all(Array.from({ length: 50 }, () => verify('alice', 'right')))).toEqual(Array(50).fill('right'))
    expect(verify('alice', 'right', '10.0.0.8'), 'at once').toBe('right')
    expect(state.looks).toBe(1)
    state.nowMs += 301_000
    await verify('alice', 'right')
    expect(state.looks, 'after five minutes it looks again').toBe(2)
  })

  it('looks again at once when the record changes', async () => {
    const { verify, state } = verifier()
    await verify('alice', 'right')
    const changed = unwrap(parseCredentials(userLine('alice', 'another')))
    expect(await verify('alice', 'right', '10.0.0.7', changed)).toBe('wrong')
    expect(await verify('alice', 'another', '10.0.0.7', changed)).toBe('right')
    expect(state.looks).toBe(3)
  })

  it('spends as much on a user that is not there', async () => {
    const { verify, state } = verifier()
    await verify('mallory', 'right')
    expect(state.looks).toBe(1)
    expect(await verify('mallory', 'right', '10.0.0.7', new Map()), 'with no users there is nothing to tell').toBe('wrong')
  })

  it('keeps apart what reads alike', async () => {
    const users = unwrap(parseCredentials(`${userLine('ab', 'c')}\n${userLine('a', 'x')}`))
    const { verify } = verifier()
    expect(await verify('ab', 'c', '10.0.0.7', users)).toBe('right')
    expect(await verify('a', 'bc', '10.0.0.7', users)).toBe('wrong')
  })

  it('stops looking at the guesses of one client, also of many at once, and of no other', async () => {
    const { verify, state } = verifier(5)
    const guesses = await Promise.all(Array.from({ length: 20 }, (_, guess) => verify('alice', `guess ${guess}`)))
    expect(guesses.filter((verdict) => verdict === 'wrong')).toHaveLength(5)
    expect(guesses.filter((verdict) => verdict === 'limited')).toHaveLength(15)
    expect(state.looks).toBe(5)
    expect(await verify('alice', 'right', '10.0.0.7'), 'not even the right one').toBe('limited')
    expect(await verify('alice', 'right', '10.0.0.8')).toBe('right')
    expect(verify('alice', 'right', '10.0.0.7'), 'which is known by now').toBe('right')
    state.nowMs += 12_000
    expect(await verify('alice', 'one more')).toBe('wrong')
    expect(await verify('alice', 'and another')).toBe('limited')
  })

  it('does not count right ones: a client with a thousand users is none that guesses', async () => {
    const { verify } = verifier(1)
    expect(await verify('alice', 'right')).toBe('right')
    expect(await verify('bob', 'also right')).toBe('right')
  })

  it('looks at two at once, and says so when too many wait', async () => {
    const { verify, state } = verifier(10)
    const verdicts = await Promise.all(
      Array.from({ length: 300 }, (_, guess) => verify('alice', `guess ${guess}`, `10.0.${guess >> 8}.${guess & 255}`)),
    )
    expect(state.most).toBe(2)
    expect(verdicts.filter((verdict) => verdict === 'wrong')).toHaveLength(258)
    expect(verdicts.filter((verdict) => verdict === 'busy')).toHaveLength(42)
  })

  it('works off the event loop', async () => {
    const users = unwrap(parseCredentials(await credentialLine('alice', 'a slow password')))
    const { verify } = verifier()
    const begun = performance.now()
    let longestMs = 0
    let last = begun
    const ticking = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last)
      last = performance.now()
    }, 1)
    expect(await verify('alice', 'a slow password', '10.0.0.7', users)).toBe('right')
    clearInterval(ticking)
    const tookMs = performance.now() - begun
    expect(tookMs).toBeGreaterThan(20)
    expect(longestMs, `the loop stood still for ${longestMs} of ${tookMs} ms`).toBeLessThan(tookMs / 2)
  })
})

describe('a file of credentials', () => {
  const good = userLine('alice', 'right')
  const [, salt, hash] = /\$([^$]+)\$([^$]+)$/.exec(good) ?? []
  for (const [text, says] of [
    ['alice:right', /not `user:scrypt/],
    [good.replace('alice', 'al ice'), /a user is made of/],
    [good.replace('alice', ''), /a user is made of/],
    [`${good}\n${good}`, /stands there twice/],
    [`alice:scrypt$1000$8$1$${salt}$${hash}`, /power of two/],
    [`alice:scrypt$1024$0$1$${salt}$${hash}`, /at least 1/],
    [`alice:scrypt$1048576$8$1$${salt}$${hash}`, /more than 256 MiB/],
    [`alice:scrypt$1024$8$99$${salt}$${hash}`, /16 rounds/],
    [`alice:bcrypt$1024$8$1$${salt}$${hash}`, /not `user:scrypt/],
    [`alice:scrypt$1024$8$1$short$${hash}`, /not `user:scrypt/],
    [`alice:scrypt$1024$8$1$${salt}$short`, /not `user:scrypt/],
  ] as const)
    it(`is refused with its line: ${says.source}`, () => {
      const parsed = parseCredentials(`# comment\n\n${text}\n`)
      expect(parsed.ok).toBe(false)
      if (parsed.ok) return
      expect(parsed.error[0]?.line).toBe(text.includes('\n') ? 4 : 3)
      expect(parsed.error[0]?.message).toMatch(says)
      expect(JSON.stringify(parsed.error)).not.toContain(':right')
    })

  it('may have comments, empty lines and either end of line', () => {
    expect([...unwrap(parseCredentials(`# users\r\n\r\n${good}\r\n  ${userLine('bob', 'x')}`)).keys()]).toEqual(['alice', 'bob'])
  })
})

describe('the value of Proxy-Authorization', () => {
  const encoded = (text: string | Buffer) => `Basic ${Buffer.from(text).toString('base64')}`
  for (const [value, sent] of [
    [encoded('alice:right'), { user: 'alice', password: 'right' }],
    [encoded('alice:with:colons'), { user: 'alice', password: 'with:colons' }],
    [encoded('alice:pässwörd'), { user: 'alice', password: 'pässwörd' }],
    [encoded(':nobody'), { user: '', password: 'nobody' }],
    [encoded('alice:right').replace('Basic', 'bASIC'), { user: 'alice', password: 'right' }],
    [encoded('without a colon'), undefined],
    [encoded(Buffer.from([0x61, 0x3a, 0xff])), undefined],
    ['Basic', undefined],
    ['Basic !!!', undefined],
    ['Bearer YWxpY2U6cmlnaHQ=', undefined],
    ['Negotiate YWxpY2U6cmlnaHQ=', undefined],
    ['', undefined],
  ] as const)
    it(`${JSON.stringify(value)} is ${JSON.stringify(sent)}`, () => expect(readBasic(value)).toEqual(sent))
})
