import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { AuditIntake } from '../../src/workers/audit-intake.ts'
import { waitFor } from '../support/gateway.ts'

/** What was handed over, and what the log says that it holds. */
class Log {
  readonly taken: string[] = []
  waitingBytes = 0

  writeLines(lines: Buffer): void {
    this.taken.push(lines.toString('latin1'))
  }
}

describe('what workers send of the audit log', () => {
  it('is handed over in whole lines, however it is cut', async () => {
    for (const size of [1, 2, 3, 7, 100]) {
      const log = new Log()
      const intake = new AuditIntake(log, 1_000)
      const pipe = new PassThrough()
      let torn = 0
      const taken = intake.take(pipe, () => torn++)
      const text = 'one\ntwo\n\nfour and more\n'
      for (let at = 0; at < text.length; at += size) {
        pipe.write(text.slice(at, at + size))
        // Each a read of its own.
        await new Promise((resolve) => setImmediate(resolve))
      }
      pipe.end()
      await taken
      expect(log.taken.join('')).toBe(text)
      expect(log.taken.every((lines) => lines.endsWith('\n'))).toBe(true)
      expect(torn).toBe(0)
    }
  })

  it('is no line where it was not finished, and that is told', async () => {
    const log = new Log()
    const intake = new AuditIntake(log, 1_000)
    const pipe = new PassThrough()
    let torn = 0
    const taken = intake.take(pipe, () => torn++)
    pipe.write('one\ntw')
    pipe.end()
    await taken
    expect(log.taken).toEqual(['one\n'])
    expect(torn).toBe(1)
  })

  it('is read no further while the log has no room', async () => {
    const log = new Log()
    const intake = new AuditIntake(log, 1_000)
    const pipe = new PassThrough()
    void intake.take(pipe, () => {})
    log.waitingBytes = 2_000
    pipe.write('one\n')
    await waitFor(() => (pipe.isPaused() ? true : undefined), 'a pause')
    pipe.write('two\n')
    await new Promise((resolve) => setImmediate(resolve))
    expect(log.taken).toEqual(['one\n'])
    log.waitingBytes = 100
    const more = once(pipe, 'data')
    intake.onRoom()
    await more
    expect(log.taken).toEqual(['one\n', 'two\n'])
  })
})
