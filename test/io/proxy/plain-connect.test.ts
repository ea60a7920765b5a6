import { createServer, type IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { readPlainConnect } from '../../../src/core/wire/plain-head.ts'

interface Reading {
  readonly head: { readonly method: string; readonly target: string; readonly httpVersion: string; readonly rawHeaders: string[] }
  readonly rest: string
}

/** What Node's parser makes of it: nothing where it refuses, or takes it for anything but a CONNECT. */
function readByNode(text: string): Promise<Reading | undefined> {
  const server = createServer({ requireHostHeader: false, maxHeaderSize: 65_536 })
  return new Promise((resolve) => {
    server.on('connect', ({ method = '', url = '', httpVersion, rawHeaders }: IncomingMessage, _socket, head: Buffer) =>
      resolve({ head: { method, target: url, httpVersion, rawHeaders }, rest: head.toString('latin1') }),
    )
    server.on('clientError', () => resolve(undefined))
    server.on('request', () => resolve(undefined))
    const connection = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done(), allowHalfOpen: true })
    server.emit('connection', connection)
    connection.push(Buffer.from(text, 'latin1'))
    connection.push(null)
    connection.on('end', () => setImmediate(() => resolve(undefined)))
  })
}

/** Reproducible. */
class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return (this.#state >>> 8) % limit
  }

  of<T>(all: readonly [T, ...T[]]): T {
    return all[this.below(all.length)] ?? all[0]
  }
}

const NAMES = [
  'Host',
  'host',
  'User-Agent',
  'Proxy-Connection',
  'Connection',
  'Proxy-Authorization',
  'X',
  'a!#$%^&*_`|~',
  'Via',
] as const
const VALUES = [
  'x',
  '',
  'keep-alive',
  'close',
  'upgrade',
  'a, b',
  '  padded  ',
  '"quoted: \\" text"',
  'pypi.org:443',
  '\t',
  ':',
  'é',
] as const
const TARGETS = [
  'pypi.org:443',
  'pypi.org',
  '[::1]:443',
  '10.0.0.1:80',
  'PyPI.org.:443',
  'a_b:1',
  '*:1',
  ':',
  'a:b:c',
  '[',
  '-.-',
] as const
const BLANKS = ['', ' ', ' ', ' ', '  ', '\t'] as const
const NOISE = ['\r', '\n', ' ', '\t', ':', '\0', '\x7f', 'é', 'A', '\r\n', '\r\n\r\n'] as const

function someHead(dice: Dice): string {
  const fields = Array.from(
    { length: dice.below(5) },
    () => `${dice.of(NAMES)}:${dice.of(BLANKS)}${dice.of(VALUES)}${dice.of(BLANKS)}\r\n`,
  )
  const text = `CONNECT ${dice.of(TARGETS)} HTTP/1.${dice.below(2)}\r\n${fields.join('')}\r\n${dice.of(['', 'early', '\x16\x03\x01', '\r\n'])}`
  if (dice.below(2) === 0) return text
  const at = dice.below(text.length)
  return text.slice(0, at) + dice.of(NOISE) + text.slice(at + dice.below(2))
}

describe('the reader of plain CONNECTs', () => {
  it("reads nothing that Node's parser does not read, and reads it alike", async () => {
    const dice = new Dice(20_261_122)
    let read = 0
    for (let i = 0; i < 3_000; i++) {
      const text = someHead(dice)
      const plain = readPlainConnect(text)
      if (plain === undefined) continue
      read++
      const { head, length } = plain
      expect(await readByNode(text), JSON.stringify(text)).toEqual({ head, rest: text.slice(length) })
    }
    // Else the comparison would be of nothing.
    expect(read).toBeGreaterThan(500)
  })
})
