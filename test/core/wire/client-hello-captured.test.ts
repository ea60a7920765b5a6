import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HelloReader, type HelloReading, readClientHello } from '../../../src/core/wire/client-hello.ts'
import { messageOf, records } from './hellos/build.ts'
import { CAPTURED } from './hellos/captured.ts'

const FIXED = { seed: 20210729, numRuns: 300 }
const INCOMPLETE = { kind: 'incomplete' }

/** Pushes the bytes in pieces of the given sizes, over and over; gives every reading with the number of bytes pushed. */
function readInPieces(bytes: Uint8Array, sizes: readonly number[]): { pushed: number; reading: HelloReading }[] {
  const reader = new HelloReader()
  const readings: { pushed: number; reading: HelloReading }[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const end = Math.min(bytes.length, at + (sizes[turn % sizes.length] ?? 1))
    // A copy that is wiped afterwards: the reader must not lean on buffers that sockets use again.
    const piece = bytes.slice(at, end)
    readings.push({ pushed: end, reading: reader.push(piece) })
    piece.fill(0xff)
    at = end
  }
  return readings
}

for (const { name, bytes, helloBytes, ...said } of CAPTURED)
  describe(`the hello of ${name}`, () => {
    const { serverNames, alpn, ech, supportedVersions, earlyData } = said
    const expected: HelloReading = {
      kind: 'hello',
      hello: { serverNames, hasOtherNameTypes: false, alpn, ech, supportedVersions, earlyData, length: helloBytes },
    }
    const hello = bytes.subarray(0, helloBytes)
    const message = messageOf(hello)

    it('reads as what the program was told to send', () => expect(readClientHello(bytes)).toEqual(expected))

    it('is incomplete at every cut, and whole from its last byte on', () => {
      for (let cut = 0; cut <= bytes.length; cut++)
        expect(readClientHello(bytes.subarray(0, cut)), `cut at ${cut}`).toEqual(cut < helloBytes ? INCOMPLETE : expected)
    })

    it('reads the same in segments of any size', () => {
      for (const size of [1, 2, 3, 4, 5, 6, 7, 9, 64, 255, 256, 536, 1448])
        for (const { pushed, reading } of readInPieces(bytes, [size]))
          expect(reading, `${pushed} bytes by ${size}`).toEqual(pushed < helloBytes ? INCOMPLETE : expected)
    })

    it('reads the same split into records of every size', () => {
      for (let size = 1; size <= message.length; size++) {
        const split = records(message, size)
        const reading = readClientHello(split)
        expect(reading, `records of ${size}`).toEqual({ kind: 'hello', hello: { ...expected.hello, length: split.length } })
      }
    })

    it('split into records of one byte is incomplete at every cut', () => {
      const split = records(message, 1)
      const early = readInPieces(split, [1]).filter(
        ({ pushed, reading }) => pushed < split.length && reading.kind !== 'incomplete',
      )
      expect(early).toEqual([])
    })

    it('with a byte changed never throws, and reads the same whole as in pieces', () => {
      const anywhere = fc.integer({ min: 0, max: bytes.length - 1 })
      const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 5 })
      fc.assert(
        fc.property(anywhere, fc.integer({ min: 1, max: 255 }), sizes, (at, flip, sizes) => {
          const changed = bytes.slice()
          changed[at] = (changed[at] ?? 0) ^ flip
          for (const { pushed, reading } of readInPieces(changed, sizes))
            expect(reading).toEqual(readClientHello(changed.subarray(0, pushed)))
        }),
        FIXED,
      )
    })

    it('with a byte changed has one verdict, found at one byte and kept from there on', () => {
      const nearTheFront = fc.integer({ min: 0, max: Math.min(200, bytes.length - 1) })
      fc.assert(
        fc.property(nearTheFront, fc.integer({ min: 1, max: 255 }), (at, flip) => {
          const changed = bytes.slice()
          changed[at] = (changed[at] ?? 0) ^ flip
          const whole = readClientHello(changed)
          let decided = false
          for (const { reading } of readInPieces(changed, [1])) {
            if (reading.kind !== 'incomplete') decided = true
            expect(reading).toEqual(decided ? whole : INCOMPLETE)
          }
        }),
        { ...FIXED, numRuns: 20 },
      )
    })
  })

it('the captured hellos hold what the reader must cope with', () => {
  const lengths = CAPTURED.map(({ helloBytes }) => helloBytes)
  expect(Math.min(...lengths)).toBeLessThan(130)
  expect(Math.max(...lengths), 'more than one segment of Ethernet').toBeGreaterThan(1_460)
  const split = CAPTURED.filter(({ bytes, helloBytes }) => messageOf(bytes.subarray(0, helloBytes)).length < helloBytes - 5)
  expect(
    split.map(({ name }) => name),
    'split over records by its own program',
  ).toEqual(['openssl-split-send'])
})

it('bytes that nobody meant as anything never throw and read the same whole as in pieces', () => {
  const prefix = fc.constantFrom<number[]>(
    [],
    [22, 3],
    [22, 3, 1, 0],
    [22, 3, 1, 0, 60, 1, 0, 0],
    [22, 3, 1, 0, 60, 1, 0, 0, 56, 3, 3],
  )
  fc.assert(
    fc.property(prefix, fc.uint8Array({ maxLength: 120 }), fc.integer({ min: 1, max: 9 }), (start, rest, size) => {
      const bytes = Uint8Array.from([...start, ...rest])
      for (const { pushed, reading } of readInPieces(bytes, [size]))
        expect(reading).toEqual(readClientHello(bytes.subarray(0, pushed)))
    }),
    { ...FIXED, numRuns: 2_000 },
  )
})
