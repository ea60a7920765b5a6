import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, rmSync } from 'node:fs'
import { type FileHandle, open as openHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../../src/core/audit-event.ts'
import { AuditLog } from '../../../src/io/telemetry/audit-log.ts'
import { startGateway, waitFor } from '../../support/gateway.ts'
import { exchangeRaw } from '../../support/raw-client.ts'

let folder: string
let log: AuditLog
let dropped: number
let errors: string[]
let changes: boolean[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-audit-'))
  dropped = 0
  errors = []
  changes = []
})
afterEach(async () => {
  await log.close()
  rmSync(folder, { recursive: true, force: true })
})

const event = (id: string): AuditEvent => ({
  time: '2026-01-01T00:00:00.000Z',
  id,
  event: 'deny',
  kind: 'connect',
  listener: 'proxy',
  client: '10.0.0.1',
  host: 'a.test',
  port: 443,
  reason: 'host_not_listed',
  gateway: 'g',
  policyHash: 'h',
})

async function open(file: string, bufferBytes = 1_000_000, onFailure: 'drop' | 'deny' = 'drop'): Promise<void> {
  log = new AuditLog({
    file,
    bufferBytes,
    onFailure,
    onWritable: (isWritable) => changes.push(isWritable),
    onDrop: (lines) => {
      dropped += lines
    },
    onError: (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message),
  })
  await log.open()
}

const written = () => waitFor(() => (log.waitingBytes === 0 ? true : undefined), 'the lines to be written')

/** A named pipe with a reader that reads nothing until it is told to. */
function stalledPipe(): { file: string; read: () => string; close: () => void } {
  const file = join(folder, 'pipe')
  execFileSync('mkfifo', [file])
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const buffer = Buffer.alloc(1 << 20)
  return {
    file,
    read: () => {
      try {
        return buffer.toString('latin1', 0, readSync(fd, buffer))
      } catch {
        return ''
      }
    },
    close: () => closeSync(fd),
  }
}

describe('the audit log', () => {
  it('writes one line an event, in order', async () => {
    await open(join(folder, 'audit.log'), 10_000_000)
    for (let i = 0; i < 5_000; i++) log.write(event(String(i)))
    await written()
    const lines = readFileSync(join(folder, 'audit.log'), 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(Array.from({ length: 5_000 }, (_, i) => String(i)))
    expect(dropped).toBe(0)
  })

  it('cannot be broken into by what a client sends', async () => {
    await open(join(folder, 'audit.log'))
    const nasty = 'a\nb\r\u0000\u001b[31m\u0085\u2028\u202e\ud800é"}\\'
    log.write({ ...event('1'), path: nasty, host: nasty, detail: nasty })
    await written()
    const text = readFileSync(join(folder, 'audit.log'), 'latin1')
    expect(text).toMatch(/^[\x20-\x7e]*\n$/)
    expect(JSON.parse(text)).toMatchObject({ path: nasty, host: nasty, detail: nasty })
  })

  it('counts every line that a full disk does not take, says so once, and goes on', async () => {
    await open('/dev/full')
    for (let i = 0; i < 200; i++) log.write(event(String(i)))
    await written()
    expect(dropped).toBe(200)
    expect(errors).toEqual(['ENOSPC'])
  })

  it('holds bounded memory while nobody reads the pipe, counts the rest, and goes on when it is read', async () => {
    const pipe = stalledPipe()
    await open(pipe.file, 20_000)
    const lines = 5_000
    for (let i = 0; i < lines; i++) log.write(event(String(i).padStart(5, '0')))
    await waitFor(() => (dropped > 0 ? true : undefined), 'drops')
    expect(log.waitingBytes).toBeLessThanOrEqual(20_000)
    const seen: string[] = []
    let text = ''
    await waitFor(() => {
      text += pipe.read()
      return log.waitingBytes === 0 ? true : undefined
    }, 'the rest')
    text += pipe.read()
    for (const line of text.trimEnd().split('\n')) seen.push(JSON.parse(line).id)
    expect(seen.length + dropped, 'every line is either there or counted').toBe(lines)
    expect(seen).toEqual(seen.toSorted())
    log.write(event('after'))
    await written()
    expect(JSON.parse(pipe.read())).toMatchObject({ id: 'after' })
    pipe.close()
  })

  it('counts what a reader that has gone does not take, and does not die of it', async () => {
    const pipe = stalledPipe()
    await open(pipe.file)
    pipe.close()
    for (let i = 0; i < 10; i++) log.write(event(String(i)))
    await written()
    expect(dropped).toBe(10)
    expect(errors).toEqual(['EPIPE'])
  })

  it('gives up what waits when it is closed, within its deadline, and counts it', async () => {
    const pipe = stalledPipe()
    await open(pipe.file, 1_000_000)
    for (let i = 0; i < 2_000; i++) log.write(event(String(i).padStart(5, '0')))
    const started = performance.now()
    await log.close()
    expect(performance.now() - started).toBeLessThan(4_000)
    const whole = pipe.read().split('\n').length - 1
    expect(dropped).toBe(2_000 - whole)
    log.write(event('late'))
    expect(dropped).toBe(2_000 - whole + 1)
    pipe.close()
  })

  it('says what is wrong when it cannot be opened', async () => {
    await open(join(folder, 'audit.log'))
    await log.close()
    await expect(open(join(folder, 'missing', 'audit.log'))).rejects.toThrow('ENOENT')
  })
})

it("reopened several times at once, it closes each of its descriptors once and nobody else's", async () => {
  const file = join(folder, 'audit.log')
  await open(file)
  const others: FileHandle[] = []
  for (let round = 0; round < 60; round++) {
    const settings = { file, bufferBytes: 1_000_000, onFailure: 'drop' } as const
    const opened = Promise.all(Array.from({ length: 8 }, () => openHandle('/dev/null')))
    await Promise.all([log.reopen(settings), log.reopen(), log.reopen(settings), log.reopen()])
    others.push(...(await opened), ...(await Promise.all(Array.from({ length: 4 }, () => openHandle('/dev/null')))))
  }
  await new Promise((resolve) => setImmediate(resolve))
  // Of a descriptor that somebody else closed, this says EBADF, or that it is a file now.
  const found = await Promise.all(
    others.map((other) =>
      other.stat().then(
        (stats) => stats.isCharacterDevice(),
        () => false,
      ),
    ),
  )
  expect(found.filter((isOurs) => !isOurs)).toEqual([])
  await Promise.all(others.map((other) => other.close()))
  const own = readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === file)
  expect(own).toHaveLength(1)
})

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

describe('an audit log that must lose nothing', () => {
  it('holds what a reader that has gone does not take, says so, and writes every line to the next reader', async () => {
    const pipe = stalledPipe()
    await open(pipe.file, 1_000_000, 'deny')
    log.write(event('before'))
    await written()
    expect(JSON.parse(pipe.read())).toMatchObject({ id: 'before' })
    pipe.close()
    for (let i = 0; i < 100; i++) log.write(event(String(i)))
    await waitFor(() => (log.isWritable ? undefined : true), 'the failure')
    expect(errors).toEqual(['EPIPE'])
    const fd = openSync(pipe.file, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      await written()
      const buffer = Buffer.alloc(1 << 20)
      const lines = buffer.toString('latin1', 0, readSync(fd, buffer)).trimEnd().split('\n')
      expect(lines.map((line) => JSON.parse(line).id)).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
    } finally {
      closeSync(fd)
    }
    expect(changes).toEqual([false, true])
    expect(dropped).toBe(0)
  })

  it('writes what a full disk did not take to the file that it is given instead', async () => {
    await open('/dev/full', 1_000_000, 'deny')
    for (let i = 0; i < 500; i++) log.write(event(String(i)))
    await waitFor(() => (log.isWritable ? undefined : true), 'the failure')
    const file = join(folder, 'other.log')
    await log.reopen({ file, bufferBytes: 1_000_000, onFailure: 'deny' })
    await written()
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(Array.from({ length: 500 }, (_, i) => String(i)))
    expect([dropped, changes]).toEqual([0, [false, true]])
  })

  it('says that it is full before it is, and keeps the rest for lines of what was served', async () => {
    const pipe = stalledPipe()
    await open(pipe.file, 100_000, 'deny')
    const filled = await waitFor(() => {
      for (let i = 0; i < 50; i++) log.write(event('x'))
      return log.isWritable ? undefined : log.waitingBytes
    }, 'no more room')
    expect(filled).toBeGreaterThan(50_000)
    for (let i = 0; i < 1_000; i++) log.write(event('refused'))
    expect(log.waitingBytes).toBeLessThan(76_000)
    const before = dropped
    for (let i = 0; i < 20; i++) log.write({ ...event('served'), event: 'allow' })
    expect(dropped).toBe(before)
    let text = ''
    await waitFor(() => {
      text += pipe.read()
      return log.waitingBytes === 0 ? true : undefined
    }, 'the rest')
    text += pipe.read()
    expect(text.match(/"id":"served"/g)).toHaveLength(20)
    expect(changes).toEqual([false, true])
    pipe.close()
  })
})

describe('lines of other processes', () => {
  const line = (n: number) => `{"n":${n},"text":"${'x'.repeat(n % 400)}"}\n`
  const lines = (from: number, to: number) =>
    Buffer.from(Array.from({ length: to - from }, (_, i) => line(from + i)).join(''), 'latin1')
  const numbers = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((one) => (JSON.parse(one) as { n?: number; id?: string }).n ?? JSON.parse(one).id)

  it('are written whole and in order, between its own', async () => {
    await open(join(folder, 'audit.log'), 10_000_000)
    log.write(event('first'))
    log.writeLines(lines(0, 1_000))
    log.write(event('second'))
    log.writeLines(lines(1_000, 1_001))
    await written()
    expect(numbers(readFileSync(join(folder, 'audit.log'), 'utf8'))).toEqual([
      'first',
      ...Array.from({ length: 1_000 }, (_, n) => n),
      'second',
      1_000,
    ])
  })

  it('go to a pipe in writes that nobody else can come between, but for a line that is longer than such a write', async () => {
    const pipe = stalledPipe()
    await open(pipe.file, 10_000_000)
    const long = `{"n":-1,"text":"${'y'.repeat(9_000)}"}\n`
    log.writeLines(Buffer.concat([lines(0, 30), Buffer.from(long, 'latin1'), lines(30, 60)]))
    let text = ''
    await waitFor(() => {
      text += pipe.read()
      return log.waitingBytes === 0 ? true : undefined
    }, 'the lines to be read')
    text += pipe.read()
    expect(numbers(text)).toEqual([
      ...Array.from({ length: 30 }, (_, n) => n),
      -1,
      ...Array.from({ length: 30 }, (_, n) => n + 30),
    ])
    pipe.close()
  })

  it('are counted one by one where there is no room for them, and the log stays bounded', async () => {
    const pipe = stalledPipe()
    await open(pipe.file, 20_000)
    for (let from = 0; from < 2_000; from += 100) log.writeLines(lines(from, from + 100))
    expect(log.waitingBytes).toBeLessThanOrEqual(20_000)
    expect(dropped).toBeGreaterThan(1_000)
    let text = ''
    await waitFor(() => {
      text += pipe.read()
      return log.waitingBytes === 0 ? true : undefined
    }, 'the rest to be read')
    text += pipe.read()
    expect(numbers(text).length + dropped).toBe(2_000)
    pipe.close()
  })

  it('that come while the end waits for a reader are counted, too', async () => {
    const pipe = stalledPipe()
    await open(pipe.file, 10_000_000)
    for (let i = 0; i < 2_000; i++) log.write(event(String(i)))
    const closing = log.close()
    log.write(event('late'))
    await closing
    const taken = numbers(`${pipe.read()}\n`.replace(/\n[^\n]*\n$/, '\n')).length
    expect(dropped + taken).toBeGreaterThanOrEqual(2_001)
    expect(dropped + taken).toBeLessThanOrEqual(2_001 + 40)
    pipe.close()
  })
})

describe('a gateway whose audit log is stuck', () => {
  it('goes on serving, and counts what it could not write', async () => {
    const pipe = stalledPipe()
    await open(join(folder, 'unused.log'))
    const gateway = await startGateway(
      `audit: { file: "${pipe.file}", bufferBytes: 1024 }\nlimits: { requestsPerSecondPerClient: 100000 }`,
    )
    try {
      const path = 'x'.repeat(4_000)
      for (let i = 0; i < 60; i++) {
        const answer = await exchangeRaw(
          gateway.port,
          `GET http://evil.test/${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
        )
        expect(answer).toMatch(/^HTTP\/1\.1 403 /)
      }
      const lost = await gateway.metric('sallyport_audit_dropped_total')
      expect(lost).toBeGreaterThan(0)
      expect(gateway.gateway.status()['auditBytesWaiting']).toBeLessThanOrEqual(1024)
    } finally {
      pipe.close()
      await gateway.stop()
    }
  })
})
