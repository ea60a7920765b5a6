import { readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigSource } from '../src/io/config/config-source.ts'
import { startGateway, type TestGateway, waitFor } from './support/gateway.ts'
import { httpAnswer, Origin } from './support/origin.ts'
import { exchangeRaw } from './support/raw-client.ts'
import { openTunnel } from './support/tunnel-client.ts'

let origin: Origin
let gateway: TestGateway

beforeEach(async () => {
  origin = await Origin.start()
})

afterEach(async () => {
  await gateway?.stop()
  await origin.stop()
})

const rule = (name: string, host: string) => `  - { name: ${name}, hosts: [${host}], ports: [7], protocol: any }\n`
const pins = () => `destinations: { pin: { a.test: "127.0.0.1:${origin.port}", b.test: "127.0.0.1:${origin.port}" } }\n`
const both = () => `rules:\n${rule('a', 'a.test')}${rule('b', 'b.test')}${pins()}`
const onlyB = () => `rules:\n${rule('b', 'b.test')}${pins()}`

describe('a reload', () => {
  it('puts the new policy in force for what comes next, and says so', async () => {
    gateway = await startGateway(onlyB())
    const before = await gateway.metric('sallyport_policy_reloads_total{outcome="ok"}')
    await expect(openTunnel(gateway.port, 'a.test:7')).rejects.toThrow(/host_not_listed/)
    expect(await gateway.reload(both())).toMatchObject({ outcome: 'loaded', restartRequired: [] })
    const tunnel = await openTunnel(gateway.port, 'a.test:7')
    tunnel.close()
    expect(await gateway.metric('sallyport_policy_reloads_total{outcome="ok"}')).toBe((before ?? 0) + 1)
    expect(await gateway.metric('sallyport_policy_entries{feature="rules"}')).toBe(2)
  })

  it('closes the open tunnels that it no longer allows, and no other', async () => {
    gateway = await startGateway(both())
    const gone = await openTunnel(gateway.port, 'a.test:7')
    const kept = await openTunnel(gateway.port, 'b.test:7')
    await gateway.reload(onlyB())
    await gone.untilClosed()
    const [event] = await gateway.audit(1, ({ endedBy }) => endedBy === 'policy_changed')
    expect(event).toMatchObject({ host: 'a.test', event: 'allow' })
    kept.send('still here')
    await kept.until((text) => text.endsWith('still here'))
    kept.close()
  })

  it('keeps open tunnels where `reload.tunnels: keep` says so', async () => {
    gateway = await startGateway(both())
    const tunnel = await openTunnel(gateway.port, 'a.test:7')
    await gateway.reload(`${onlyB()}reload: { tunnels: keep }\n`)
    tunnel.send('kept')
    await tunnel.until((text) => text.endsWith('kept'))
    tunnel.close()
  })

  it('closes a tunnel whose address may no longer be dialled', async () => {
    gateway = await startGateway(both())
    const tunnel = await openTunnel(gateway.port, 'a.test:7')
    await gateway.reload(`rules:\n${rule('a', 'a.test')}`)
    await tunnel.untilClosed()
    expect(await gateway.audit(1, ({ endedBy }) => endedBy === 'policy_changed')).toHaveLength(1)
  })

  it('keeps the last good policy when the file is broken, and tells it in log, metric and /readyz', async () => {
    gateway = await startGateway(both())
    const report = await gateway.reload(`${both()}colour: blue\n`)
    expect(report).toMatchObject({ outcome: 'failed', problems: [expect.stringContaining('unknown key `colour`')] })
    const tunnel = await openTunnel(gateway.port, 'a.test:7')
    tunnel.close()
    expect(await gateway.metric('sallyport_policy_current')).toBe(0)
    expect(await gateway.metric('sallyport_policy_reloads_total{outcome="failed"}')).toBe(1)
    expect(gateway.gateway.readiness()).toMatchObject({
      ready: true,
      lines: expect.arrayContaining([expect.stringContaining('colour')]),
    })
    expect(gateway.log.some(({ msg }) => msg === 'reload failed; the policy in force stays')).toBe(true)
    await gateway.reload(both())
    expect(await gateway.metric('sallyport_policy_current')).toBe(1)
    expect(gateway.gateway.readiness().lines.join()).not.toContain('colour')
  })

  it('names what waits for a restart', async () => {
    gateway = await startGateway(both())
    const report = await gateway.reload(`${both()}stateDirectory: elsewhere\n`)
    expect(report).toMatchObject({ outcome: 'loaded', restartRequired: ['stateDirectory'] })
    expect(gateway.gateway.readiness().lines).toContain('restart required for: stateDirectory')
  })

  it('does not ask for a restart any more once the file says again what was read at start', async () => {
    gateway = await startGateway(both())
    await gateway.reload(`${both()}stateDirectory: elsewhere\n`)
    expect(await gateway.reload(both())).toMatchObject({ outcome: 'loaded', restartRequired: [] })
    expect(gateway.gateway.readiness().lines.join()).not.toContain('restart required')
  })

  it('takes new limits, DNS servers and report mode at once', async () => {
    gateway = await startGateway(both())
    await gateway.reload(`${both()}mode: report\nlimits: { tunnelsPerClient: 1 }\n`)
    expect(await gateway.metric('sallyport_report_mode_since_timestamp_seconds')).toBeGreaterThan(1_700_000_000)
    const first = await openTunnel(gateway.port, 'a.test:7')
    await expect(openTunnel(gateway.port, 'a.test:7')).rejects.toThrow(/429 client_limit/)
    first.close()
  })

  it('loses no request and leaks nothing over a thousand of them under load', { timeout: 300_000 }, async () => {
    await origin.stop()
    origin = await Origin.answering(() => httpAnswer('fine'))
    const forward = (n: number) =>
      `rules:\n  - { name: web-${n}, hosts: [web.test] }\ndestinations: { pin: { web.test: "127.0.0.1:${origin.port}" } }\nlimits: { requestsPerSecondPerClient: 1000000 }\n`
    gateway = await startGateway(forward(0))
    const descriptors = () => readdirSync('/proc/self/fd').length
    await gateway.reload(forward(1))
    const before = descriptors()
    let running = true
    let answered = 0
    const load = async () => {
      while (running) {
        const answer = await exchangeRaw(
          gateway.port,
          'GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n',
        )
        expect(answer).toMatch(/^HTTP\/1\.1 200 /)
        answered++
      }
    }
    const clients = [load(), load(), load()]
    for (let n = 0; n < RELOADS; n++) expect(await gateway.reload(forward(n % 7))).toMatchObject({ outcome: 'loaded' })
    running = false
    await Promise.all(clients)
    expect(answered).toBeGreaterThan(10)
    const events = await gateway.audit(answered)
    expect(events).toHaveLength(answered)
    // Each client may leave a connection to the origin that is kept, and both its ends are in this process.
    const kept = 2 * clients.length
    await waitFor(() => (descriptors() <= before + kept ? true : undefined), 'descriptors to be given back')
    // The entry in force, and `removed` where something ended after its entry had gone.
    const series = await gateway.gateway.metrics.registry.metrics()
    const entries = series.split('\n').filter((line) => line.startsWith('sallyport_entry_hits_total{'))
    expect(entries.length).toBeGreaterThan(0)
    expect(entries.length).toBeLessThanOrEqual(2)
  })
})

const RELOADS = 1_000

describe('a config that is watched', () => {
  let folder: string
  let source: ConfigSource

  beforeEach(async () => {
    gateway = await startGateway('')
    folder = await mkdtemp(join(tmpdir(), 'sallyport-watch-'))
  })

  afterEach(async () => {
    source.stop()
    await rm(folder, { recursive: true })
  })

  it('is seen to change when its bytes do, and not when they are written again', async () => {
    const file = join(folder, 'gateway.yaml')
    await writeFile(file, 'cloud: public\n')
    source = new ConfigSource(file)
    await source.load()
    let changes = 0
    source.watch(() => changes++)
    await writeFile(file, 'cloud: public\n')
    await writeFile(file, 'cloud: china\n')
    await waitFor(() => (changes > 0 ? true : undefined), 'the change')
    expect(changes).toBe(1)
  })

  it('is taken for half written when it is empty and was not before', async () => {
    const file = join(folder, 'gateway.yaml')
    await writeFile(file, 'cloud: public\n')
    source = new ConfigSource(file)
    expect(await source.load()).toMatchObject({ ok: true })
    await writeFile(file, '')
    expect(await source.load()).toMatchObject({ ok: false, error: [{ message: expect.stringContaining('it is empty now') }] })
    await writeFile(file, 'rules: []\n')
    expect(await source.load()).toMatchObject({ ok: true })
  })

  it('may be empty from the start', async () => {
    const file = join(folder, 'gateway.yaml')
    await writeFile(file, '')
    source = new ConfigSource(file)
    expect(await source.load()).toMatchObject({ ok: true })
    expect(await source.load()).toMatchObject({ ok: true })
  })

  it('is seen to change when Kubernetes swaps the link to its folder', async () => {
    await mkdir(join(folder, '..v1'))
    await mkdir(join(folder, '..v2'))
    await writeFile(join(folder, '..v1', 'gateway.yaml'), 'cloud: public\n')
    await writeFile(join(folder, '..v2', 'gateway.yaml'), 'cloud: china\n')
    await symlink('..v1', join(folder, '..data'))
    await symlink(join('..data', 'gateway.yaml'), join(folder, 'gateway.yaml'))
    source = new ConfigSource(join(folder, 'gateway.yaml'))
    await source.load()
    const changed = new Promise<void>((resolve) => source.watch(resolve))
    await symlink('..v2', join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
    await changed
    const loaded = await source.load()
    expect(loaded.ok && loaded.value.config.cloud).toBe('china')
  })
})
