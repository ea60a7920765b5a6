import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { HelloReader, readClientHello } from '../../src/core/wire/client-hello.ts'
import { classifyOpening } from '../../src/core/wire/tls-opening.ts'
import * as build from '../core/wire/hellos/build.ts'
import { CAPTURED } from '../core/wire/hellos/captured.ts'
import { fuzz } from './fuzz-run.ts'

/** Real hellos, and small ones in which a changed byte is likely to be a length. */
const SAMPLES = [
  ...CAPTURED.map(({ bytes }) => bytes),
  build.hello(),
  build.helloWith(build.serverName('a.example')),
  build.helloWith(build.serverName('a.example', 'b.example')),
  build.records(build.handshake(build.helloBody()), 5),
]

interface Change {
  readonly at: number
  readonly remove: number
  readonly insert: Uint8Array
}

const change = fc.record<Change>({
  at: fc.nat(600),
  remove: fc.nat(3),
  insert: fc.uint8Array({ maxLength: 3 }),
})
const mangled = fc
  .tuple(fc.constantFrom(...SAMPLES), fc.array(change, { maxLength: 3 }))
  .map(([sample, changes]) => changes.reduce(changed, sample))

function changed(bytes: Uint8Array, { at, remove, insert }: Change): Uint8Array {
  const place = bytes.length === 0 ? 0 : at % bytes.length
  return Uint8Array.from([...bytes.subarray(0, place), ...insert, ...bytes.subarray(place + remove)])
}

describe('a ClientHello', () => {
  fuzz(
    'whatever its bytes are, is read, refused or waited for, the same however it is cut',
    fc.property(mangled, fc.array(fc.nat(600), { maxLength: 4 }), (bytes, cuts) => {
      const reader = new HelloReader()
      const places = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b)
      let from = 0
      for (const to of places) {
        expect(reader.push(bytes.subarray(from, to))).toEqual(readClientHello(bytes.subarray(0, to)))
        from = to
      }
    }),
    { share: 0.1 },
  )

  fuzz(
    'is told from other openings by bytes that do not contradict it',
    fc.property(fc.oneof(mangled, fc.uint8Array({ maxLength: 40 })), (bytes) => {
      const opening = classifyOpening(bytes)
      const { kind } = readClientHello(bytes)
      if (opening === 'tls') expect(kind).not.toBe('not_tls')
      if (opening === 'http' || opening === 'other') expect(kind).toBe('not_tls')
    }),
    { share: 0.1 },
  )
})
