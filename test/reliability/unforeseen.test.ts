import { afterEach, describe, expect, it } from 'vitest'
import { Origin } from '../support/origin.ts'
import { type ProgramUnderTest, startProgram } from '../support/program-under-test.ts'
import { exchangeRaw } from '../support/raw-client.ts'
import { openTunnel } from '../support/tunnel-client.ts'

let gateway: ProgramUnderTest
let origin: Origin

afterEach(async () => {
  await gateway.stop()
  await origin.stop()
})

/** Run in every process before the program: faults that no handler is there for, as soon as a signal asks for them. */
const FAULTS = `data:text/javascript,${encodeURIComponent(`
process.on('SIGPIPE', () => {
  setTimeout(() => { throw new Error('thrown where nobody catches') })
  setTimeout(() => { null.property })
  Promise.reject(new Error('rejected where nobody looks'))
})`)}`

describe('an error that nobody foresaw', () => {
  it('is logged with an id of its own and ends nothing: tunnels go on and new ones stand', async () => {
    origin = await Origin.start()
    gateway = await startProgram(
      `rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }
`,
      { env: { NODE_OPTIONS: `--import=${FAULTS}` } },
    )
    const tunnel = await openTunnel(gateway.port('proxy'), 'echo.test:7')
    for (let round = 1; round <= 3; round++) {
      gateway.signal('SIGPIPE')
      await gateway.logged('unhandled rejection')
    }
    const thrown = await gateway.logged('uncaught exception')
    expect(thrown['err']).toMatchObject({ message: expect.stringContaining('thrown where nobody catches') })
    const ids = gateway.log.filter(({ msg }) => /^un(caught|handled)/.test(msg)).map((line) => line['id'])
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/)
    tunnel.send('still here')
    await tunnel.until((text) => text.endsWith('still here'))
    tunnel.close()
    expect(await exchangeRaw(gateway.port('proxy'), 'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 403 host_not_listed/,
    )
    gateway.signal('SIGTERM')
    expect(await gateway.exited).toEqual({ code: 0, signal: null })
  })
})
