import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

/**
 * The fifty cases that broke a forward proxy somewhere, each with the file that sends its bytes: the index of this folder. A file
 * names its cases in its titles (`case 5: ...`), so that a case cannot be lost with a test.
 */
const WIRE = 'security/cases-01-11-wire.test.ts'
const HOSTS = 'security/cases-12-21-hosts.test.ts'
const OPENINGS = 'security/cases-22-26-openings.test.ts'
const INSIDE = 'security/cases-23-37-inside.test.ts'
const CERTIFICATES = 'security/cases-24-28-certificates.test.ts'
const ANSWERS = 'security/cases-31-48-answers.test.ts'
const LIMITS = 'security/cases-34-35-limits.test.ts'
const DNS = 'security/cases-19-38-40-dns.test.ts'
const HTTP2 = 'security/cases-44-45-http2.test.ts'
const WEBSOCKET = 'security/cases-06-42-websocket.test.ts'

const CASES: Readonly<Record<number, readonly string[]>> = {
  1: [WIRE],
  2: [WIRE],
  3: [WIRE],
  4: [WIRE],
  5: [WIRE],
  6: [WEBSOCKET],
  7: [WIRE],
  8: [WIRE],
  9: [WIRE],
  10: [WIRE],
  11: [WIRE],
  12: [HOSTS, OPENINGS],
  13: [HOSTS, OPENINGS],
  14: [HOSTS],
  15: [HOSTS],
  16: [HOSTS],
  17: [HOSTS],
  18: [HOSTS],
  19: [DNS],
  20: [HOSTS],
  21: [HOSTS],
  22: [OPENINGS],
  23: [INSIDE],
  24: [CERTIFICATES],
  25: [OPENINGS],
  26: [OPENINGS],
  27: [CERTIFICATES],
  28: [CERTIFICATES],
  29: ['security/cases-29-client-certificates.test.ts'],
  30: [INSIDE, 'io/proxy/http-proxy-faults.test.ts'],
  31: [ANSWERS],
  32: [ANSWERS],
  33: [ANSWERS],
  34: [LIMITS],
  35: [LIMITS],
  36: [ANSWERS],
  37: [ANSWERS, INSIDE],
  38: [DNS],
  40: [DNS],
  41: ['io/proxy/forward.test.ts', 'io/proxy/http-proxy-faults.test.ts'],
  42: [WEBSOCKET, DNS],
  43: ['security/cases-43-second-hello.test.ts'],
  44: [HTTP2],
  45: [HTTP2],
  46: ['io/proxy/http-proxy-faults.test.ts'],
  47: ['security/cases-47-pipelining.test.ts'],
  48: [ANSWERS],
  49: ['security/cases-49-reuse.test.ts', DNS],
  50: ['security/cases-50-port-80.test.ts'],
}

/** Cases that are shown elsewhere, or whose capability has not landed. */
const ELSEWHERE: Readonly<Record<number, string>> = {
  39: 'test/reload.test.ts keeps the old policy for a broken file',
}

describe('the security cases', () => {
  for (let number = 1; number <= 50; number++) {
    const files = CASES[number]
    it(files === undefined ? `${number}: ${ELSEWHERE[number]}` : `${number} is in ${files.join(' and ')}`, () => {
      if (files === undefined) return expect(ELSEWHERE[number]).toBeDefined()
      for (const file of files) expect(casesNamedIn(file), file).toContain(number)
    })
  }

  it('of every file in this folder are in this index', () => {
    const here = readdirSync(new URL('.', import.meta.url)).filter((file) => /^cases-.*\.test\.ts$/.test(file))
    const listed = new Set(Object.values(CASES).flat())
    expect(here.filter((file) => !listed.has(`security/${file}`))).toEqual([])
  })
})

/** The numbers in `case 5`, `cases 16, 17 and 18` and the like. */
function casesNamedIn(file: string): number[] {
  const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
  return [...text.matchAll(/\bcases? (\d+(?:(?:, | and )\d+)*)/gi)].flatMap((match) =>
    (match[1] ?? '').split(/, | and /).map(Number),
  )
}
