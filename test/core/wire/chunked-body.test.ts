import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ChunkedBody, type ChunkedReading } from '../../../src/core/wire/chunked-body.ts'

const FIXED = { seed: 20_261_124, numRuns: 500 }

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

interface Reading {
  /** What the last piece gave; pieces behind it are not pushed. */
  readonly reading: ChunkedReading
  readonly data: string
  /** Of all pieces together; nothing where there is a problem. */
  readonly consumed: number
}

/** Pushes the bytes cut at the given places. */
function readCut(bytes: Uint8Array, cuts: readonly number[]): Reading {
  const body = new ChunkedBody()
  const data: string[] = []
  let consumed = 0
  let reading: ChunkedReading = 'more'
  const places = [...cuts].sort((a, b) => a - b)
  for (const [turn, from] of [0, ...places].entries()) {
    // A copy that is wiped afterwards: the reader must not lean on buffers that sockets use again.
    const piece = bytes.slice(from, places[turn] ?? bytes.length)
    reading = body.push(piece, (part) => {
      expect(part.length, 'a part is never empty').toBeGreaterThan(0)
      data.push(String.fromCharCode(...part))
    })
    if (typeof reading === 'object') return { reading, data: data.join(''), consumed: 0 }
    consumed += body.consumed
    if (reading === 'done') break
    expect(body.consumed, 'all is consumed before the end').toBe(piece.length)
    piece.fill(0x30)
  }
  return { reading, data: data.join(''), consumed }
}

const readWhole = (text: string): Reading => readCut(latin1(text), [])
const eachByte = (bytes: Uint8Array): number[] => Array.from({ length: Math.max(0, bytes.length - 1) }, (_, at) => at + 1)

/** The same whole, cut in two at every byte, and byte by byte. */
function expectEverywhere(text: string, expected: Reading): void {
  const bytes = latin1(text)
  expect(readCut(bytes, [])).toEqual(expected)
  for (const cut of eachByte(bytes)) expect(readCut(bytes, [cut]), `cut at ${cut}`).toEqual(expected)
  expect(readCut(bytes, eachByte(bytes)), 'byte by byte').toEqual(expected)
}

const LAST = '0\r\n\r\n'

describe('a chunked body', () => {
  const read = [
    { text: LAST, data: '', because: 'an empty body is its last chunk' },
    { text: `5\r\nhello\r\n${LAST}`, data: 'hello', because: 'one chunk is usual' },
    { text: `5\r\nhello\r\n1\r\n!\r\n${LAST}`, data: 'hello!', because: 'chunks follow one another' },
    { text: `a\r\n0123456789\r\nB\r\n0123456789a\r\n${LAST}`, data: '01234567890123456789a', because: 'sizes are hexadecimal' },
    { text: `10\r\n0123456789abcdef\r\n${LAST}`, data: '0123456789abcdef', because: '10 is sixteen' },
    { text: `0000000000001\r\nx\r\n${LAST}`, data: 'x', because: '13 digits, most of them zeros' },
    { text: '0000\r\n\r\n', data: '', because: 'zero may be written longer' },
    { text: `4\r\n\r\n\r\n\r\n${LAST}`, data: '\r\n\r\n', because: 'data is not looked at' },
    { text: `5\r\n0\r\n\r\n\r\n${LAST}`, data: '0\r\n\r\n', because: 'also where it looks like an end' },
    { text: `3\r\n\x00\xff\n\r\n${LAST}`, data: '\x00\xff\n', because: 'data is bytes' },
    { text: `1;a=b\r\nx\r\n${LAST}`, data: 'x', because: 'an extension is dropped' },
    { text: `1;a="1;\\"2";c\r\nx\r\n0;d=e\r\n\r\n`, data: 'x', because: 'many are, on the last chunk too' },
    { text: '1\r\nx\r\n0\r\nA: b\r\n\r\n', data: 'x', because: 'a trailer is dropped' },
    { text: '0\r\nA: b\r\nContent-MD5: c\r\n\r\n', data: '', because: 'all trailers are' },
    { text: '0\r\nTransfer-Encoding: gzip\r\n\r\n', data: '', because: 'trailers change nothing' },
  ] as const
  for (const { text, data, because } of read)
    it(`is read, cut anywhere: ${JSON.stringify(text)}: ${because}`, () =>
      expectEverywhere(text, { reading: 'done', data, consumed: text.length }))

  it('ends at its last byte: what stands behind is not consumed', () => {
    for (const behind of ['\r\n', '\n', 'x', '0\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'])
      for (const body of [LAST, `1\r\nx\r\n${LAST}`, '1\r\nx\r\n0\r\nA: b\r\n\r\n'])
        expectEverywhere(body + behind, { reading: 'done', data: body === LAST ? '' : 'x', consumed: body.length })
  })

  it('takes nothing more once it has ended', () => {
    const body = new ChunkedBody()
    const refuse = () => expect.unreachable('there is no data')
    expect(body.push(latin1(LAST), refuse)).toBe('done')
    expect(body.push(latin1('1\r\nx\r\n'), refuse)).toBe('done')
    expect(body.consumed).toBe(0)
  })

  it('wants more before its last byte, with the data so far', () => {
    const text = '5;a=b\r\nhello\r\n3\r\nyou\r\n0\r\nA: b\r\n\r\n'
    for (let cut = 0; cut < text.length; cut++) {
      const { reading, data, consumed } = readWhole(text.slice(0, cut))
      expect(reading, `cut at ${cut}`).toBe('more')
      expect('helloyou'.startsWith(data), `cut at ${cut}`).toBe(true)
      expect(consumed, `cut at ${cut}`).toBe(cut)
    }
  })

  it('gives views of what was pushed, and nothing for an empty piece', () => {
    const body = new ChunkedBody()
    const piece = latin1(`5\r\nhello\r\n${LAST}`)
    const parts: Uint8Array[] = []
    expect(body.push(new Uint8Array(0), (part) => parts.push(part))).toBe('more')
    expect(body.consumed).toBe(0)
    expect(body.push(piece, (part) => parts.push(part))).toBe('done')
    expect(parts.map(({ buffer, byteOffset, length }) => [buffer === piece.buffer, byteOffset, length])).toEqual([[true, 3, 5]])
  })

  const refused = [
    { text: '0x1\r\nx\r\n', data: '', problem: /size is not a number/, because: 'digits need no prefix' },
    { text: '-0\r\n\r\n', data: '', problem: /size is not a number/, because: 'a sign' },
    { text: '+1\r\nx\r\n', data: '', problem: /size is not a number/, because: 'the other sign' },
    { text: '1junk\r\nx\r\n', data: '', problem: /size is not a number/, because: 'something behind the digits' },
    { text: '1g\r\nx\r\n', data: '', problem: /size is not a number/, because: 'the neighbour of the last digit' },
    { text: '1_0\r\nx\r\n', data: '', problem: /size is not a number/, because: 'digits are not grouped' },
    { text: '1.0\r\nx\r\n', data: '', problem: /size is not a number/, because: 'a fraction' },
    { text: ' 1\r\nx\r\n', data: '', problem: /size is not a number/, because: 'a blank in front' },
    { text: '\t1\r\nx\r\n', data: '', problem: /size is not a number/, because: 'a tab in front' },
    { text: '1 \r\nx\r\n', data: '', problem: /size is not a number/, because: 'a blank behind' },
    { text: '1 ;a=b\r\nx\r\n', data: '', problem: /size is not a number/, because: 'also before an extension' },
    { text: '1\x00\r\nx\r\n', data: '', problem: /size is not a number/, because: 'NUL' },
    { text: '1,1\r\nx\r\n', data: '', problem: /size is not a number/, because: 'a list' },
    { text: '\r\n0\r\n\r\n', data: '', problem: /size is not a number/, because: 'an empty size' },
    { text: ';a=b\r\n', data: '', problem: /size is not a number/, because: 'an extension of nothing' },
    { text: '10000000000000\r\n', data: '', problem: /size is too large/, because: '14 digits' },
    { text: '00000000000001\r\nx\r\n', data: '', problem: /size is too large/, because: '14 digits, even if they are zeros' },
    { text: 'ffffffffffffffffffff\r\n', data: '', problem: /size is too large/, because: 'a size that would overflow' },
    { text: '1\nx\r\n', data: '', problem: /size is not a number/, because: 'LF alone does not end a size' },
    { text: '1\rx\r\n', data: '', problem: /does not end in CRLF/, because: 'nor does CR' },
    { text: '1\r\rx\r\n', data: '', problem: /does not end in CRLF/, because: 'nor do two of them' },
    { text: '1;a\nx\r\n', data: '', problem: /extension/, because: 'LF alone does not end an extension' },
    { text: '1;a="\n"\r\nx\r\n', data: '', problem: /extension/, because: 'nor stands in one that is quoted' },
    { text: '1;a\rb\r\nx\r\n', data: '', problem: /does not end in CRLF/, because: 'nor does CR' },
    { text: '1\r\nx\n0\r\n\r\n', data: 'x', problem: /longer than its size/, because: 'LF alone does not end a chunk' },
    { text: '1\r\nx\r0\r\n\r\n', data: 'x', problem: /chunk does not end in CRLF/, because: 'nor does CR' },
    { text: '1\r\nxy\r\n0\r\n\r\n', data: 'x', problem: /longer than its size/, because: 'a chunk longer than its size' },
    { text: '3\r\nx\r\n0\r\n\r\n', data: 'x\r\n', problem: /longer than its size/, because: 'a chunk shorter than its size' },
    { text: '1\r\nx0\r\n\r\n', data: 'x', problem: /longer than its size/, because: 'the next size without a line' },
    { text: '0\n\r\n', data: '', problem: /size is not a number/, because: 'LF alone does not end the last size' },
    { text: '0\r\n\n', data: '', problem: /trailer/, because: 'nor the body' },
    { text: '0\r\n\r\r', data: '', problem: /body does not end in CRLF/, because: 'nor does CR' },
    { text: '0\r\n\rA: b\r\n\r\n', data: '', problem: /body does not end in CRLF/, because: 'CR begins no trailer' },
    { text: '0\r\nA: b\n\r\n', data: '', problem: /trailer/, because: 'LF alone does not end a trailer' },
    { text: '0\r\nA: b\rC: d\r\n\r\n', data: '', problem: /trailer/, because: 'nor does CR' },
    { text: '0\r\nA: b\r\n\n', data: '', problem: /trailer/, because: 'nor the body behind a trailer' },
    { text: '1;a=\x00\r\nx\r\n', data: '', problem: /extension/, because: 'NUL in an extension' },
    { text: '0\r\nfoo\r\n\r\n', data: '', problem: /no field/, because: 'a trailer without a colon' },
    { text: '0\r\n: b\r\n\r\n', data: '', problem: /no field/, because: 'a trailer without a name' },
    { text: '0\r\n A: b\r\n\r\n', data: '', problem: /no field/, because: 'a line that begins with a blank' },
    { text: '0\r\nA: b\r\n c\r\n\r\n', data: '', problem: /no field/, because: 'a folded trailer' },
    { text: '0\r\nA : b\r\n\r\n', data: '', problem: /no field/, because: 'a blank before the colon' },
    { text: '0\r\nA: \x00\r\n\r\n', data: '', problem: /trailer/, because: 'NUL in a trailer' },
  ] as const
  for (const { text, data, problem, because } of refused)
    it(`is refused, cut anywhere: ${JSON.stringify(text)}: ${because}`, () => {
      const bytes = latin1(text)
      for (const cuts of [[], eachByte(bytes), ...eachByte(bytes).map((cut) => [cut])]) {
        const reading = readCut(bytes, cuts)
        expect(reading.reading, `cut at ${cuts}`).toEqual({ problem: expect.stringMatching(problem) })
        expect(reading.data, `cut at ${cuts}`).toBe(data)
      }
    })

  it('may be as large as 13 digits say', () => {
    expect(readWhole('fffffffffffff\r\nx')).toEqual({ reading: 'more', data: 'x', consumed: 16 })
  })

  it('has extensions of 1024 bytes a chunk at most, which count for each chunk alone', () => {
    const chunk = (bytes: number) => `1;${'e'.repeat(bytes)}\r\nx\r\n`
    const most = `${chunk(1_024).repeat(3)}0;${'e'.repeat(1_024)}\r\n\r\n`
    expect(readWhole(most)).toEqual({ reading: 'done', data: 'xxx', consumed: most.length })
    const tooLong = { problem: expect.stringMatching(/extension/) }
    expect(readWhole(chunk(1_025))).toMatchObject({ reading: tooLong, data: '' })
    expect(readWhole(chunk(1_024) + chunk(1_025))).toMatchObject({ reading: tooLong, data: 'x' })
    // One that never ends is found out all the same.
    expect(readWhole(`1;${'e'.repeat(1_025)}`)).toMatchObject({ reading: tooLong })
  })

  it('has trailers of 16384 bytes at most, with all their lines and the empty one', () => {
    const field = `A: ${'b'.repeat(95)}\r\n`
    const fields = field.repeat(163)
    const rest = 16_384 - fields.length - '\r\n'.length
    const most = `0\r\n${fields}C:${'c'.repeat(rest - 4)}\r\n\r\n`
    expect(readWhole(most)).toEqual({ reading: 'done', data: '', consumed: most.length })
    const tooLong = { problem: expect.stringMatching(/trailers are too long/) }
    expect(readWhole(`0\r\n${fields}C:${'c'.repeat(rest - 3)}\r\n\r\n`)).toMatchObject({ reading: tooLong })
    expect(readWhole(`0\r\nC:${'c'.repeat(16_383)}`)).toMatchObject({ reading: tooLong })
    expect(readWhole(`0\r\n${field.repeat(200)}`)).toMatchObject({ reading: tooLong })
  })

  it('has trailers that count apart from the extension before them', () => {
    const text = `0;${'e'.repeat(1_024)}\r\nC:${'c'.repeat(16_378)}\r\n\r\n`
    expect(readWhole(text)).toEqual({ reading: 'done', data: '', consumed: text.length })
  })
})

describe('any chunked body', () => {
  const size = (bytes: number) =>
    fc
      .tuple(fc.nat({ max: 3 }), fc.boolean())
      .map(([zeros, isUpper]) => '0'.repeat(zeros) + (isUpper ? bytes.toString(16).toUpperCase() : bytes.toString(16)))
  const extension = fc.constantFrom('', '', '', ';a', ';a=b', ';a="\\";0\xe9"')
  const part = fc
    .uint8Array({ minLength: 1, maxLength: 300 })
    .chain((bytes) => fc.record({ bytes: fc.constant(bytes), size: size(bytes.length), extension }))
  const parts = fc.array(part, { maxLength: 8 })
  const trailers = fc.array(fc.constantFrom('A: b\r\n', 'Digest:\r\n', 'x: \xff\r\n'), { maxLength: 3 })
  const encoded = fc.tuple(parts, trailers).map(([parts, trailers]) => {
    const chunks = parts.map(({ bytes, size, extension }) => `${size}${extension}\r\n${String.fromCharCode(...bytes)}\r\n`)
    return {
      data: parts.map(({ bytes }) => String.fromCharCode(...bytes)).join(''),
      text: `${chunks.join('')}0\r\n${trailers.join('')}\r\n`,
    }
  })
  const behind = fc.constantFrom('', '', '\r\n', '0\r\n\r\n', 'HTTP/1.1 200 OK\r\n')
  const cuts = fc.array(fc.nat(), { maxLength: 12 })
  /** Some fall on the same place, and on both ends. */
  const placesIn = (bytes: Uint8Array, cuts: readonly number[]) => cuts.map((cut) => cut % (bytes.length + 1))

  it('reads back, cut anywhere', () => {
    fc.assert(
      fc.property(encoded, behind, cuts, ({ data, text }, behind, cuts) => {
        const bytes = latin1(text + behind)
        expect(readCut(bytes, placesIn(bytes, cuts))).toEqual({ reading: 'done', data, consumed: text.length })
      }),
      FIXED,
    )
  })

  it('with a byte changed, and bytes that nobody meant as one, read the same whole as in pieces', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .array(fc.constantFrom('0', '1', 'a', ';', '\r\n', '\r', '\n', ' ', 'x'), { maxLength: 20 })
        .map((words) => latin1(words.join(''))),
      fc
        .tuple(encoded, fc.nat(), fc.integer({ min: 0, max: 255 }))
        .map(([{ text }, at, byte]) => latin1(text).with(at % text.length, byte)),
    )
    fc.assert(
      fc.property(noise, cuts, (bytes, cuts) => {
        expect(readCut(bytes, placesIn(bytes, cuts))).toEqual(readCut(bytes, []))
      }),
      { ...FIXED, numRuns: 2_000 },
    )
  })
})
