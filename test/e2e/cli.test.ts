import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { Origin } from '../support/origin.ts'
import { type ProgramUnderTest, runProgram, startProgram } from '../support/program-under-test.ts'
import { exchangeRaw, RawClient } from '../support/raw-client.ts'
import { bareEnvironment } from '../support/run.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

describe('beside a running gateway', () => {
  let origin: Origin
  let gateway: ProgramUnderTest
  /** The same config with the port that the metrics listener got. */
  let config: string

  beforeAll(async () => {
    origin = await Origin.start()
    const yaml = `
features: { python-files: false }
rules:
  - { name: echo, hosts: [echo.test], ports: [7], protocol: any }
  - { name: no-forum, hosts: [discuss.pytorch.org], action: deny }
destinations: { pin: { echo.test: "127.0.0.1:${origin.port}", pypi.org: "127.0.0.1:${origin.port}" } }
`
    gateway = await startProgram(yaml)
    config = join(gateway.folder, 'known-port.yaml')
    writeFileSync(config, `listen: { metrics: "127.0.0.1:${gateway.port('metrics')}" }\n${yaml}`)
  })

  afterAll(async () => {
    await gateway?.stop()
    await origin?.stop()
  })

  const cases = [
    { target: 'echo.test:7', code: 0, status: 200 },
    { target: 'echo.test:443', code: 1, status: 403, reason: 'port_not_listed' },
    { target: 'discuss.pytorch.org:443', code: 1, status: 403, reason: 'denied_by_rule' },
    { target: 'files.pythonhosted.org:443', code: 1, status: 403, reason: 'host_not_listed' },
    { target: 'raw.githubusercontent.com:443', code: 1, status: 403, reason: 'inspection_unavailable' },
    { target: '169.254.169.254:80', code: 1, status: 403, reason: 'host_not_listed' },
  ] as const
  for (const { target, code, status, ...denial } of cases) {
    it(`explain, the API and the gateway itself agree about ${target}`, async () => {
      const explained = await runProgram(['explain', '--config', config, '--json', target])
      expect(explained.code, explained.stderr).toBe(code)
      const explanation = JSON.parse(explained.stdout)
      expect(explanation.reason).toBe('reason' in denial ? denial.reason : undefined)
      const told = await (await gateway.ask('admin', `/api/v1/explain?target=${target}`)).json()
      expect(told).toEqual(explanation)

      const client = await RawClient.connect(gateway.port('proxy'))
      client.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`)
      const answer = await client.answer()
      client.close()
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      if (!('reason' in denial)) return
      const problem = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
      expect({ reason: problem.reason, hint: problem.hint }).toEqual({ reason: denial.reason, hint: explanation.hint })
    })
  }

  it('entries lists what the API lists', async () => {
    const { code, stdout } = await runProgram(['entries', '--config', config, '--json'])
    expect(code).toBe(0)
    const listed: { id: string }[] = JSON.parse(stdout)
    const { entries } = (await (await gateway.ask('admin', '/api/v1/entries')).json()) as { entries: { id: string }[] }
    expect(listed.map(({ id }) => id)).toEqual(entries.map(({ id }) => id))
    expect(listed.map(({ id }) => id)).toContain('rule/no-forum')
    const table = await runProgram(['entries', '--config', config])
    expect(table.stdout).toContain('rule/echo')
  })

  it('check finds the config right', async () => {
    const { code, stdout } = await runProgram(['check', '--config', gateway.configFile])
    expect(code).toBe(0)
    expect(stdout).toMatch(/: ok, \d+ entries, \d+ warnings\n$/)
  })

  it('health says ready, then draining, then that nobody answers', async () => {
    const health = async () => {
      const { code, stdout, stderr } = await runProgram(['health', '--config', config])
      return `${code} ${stdout}${stderr}`
    }
    expect(await health()).toBe('0 ready\n')
    const client = await RawClient.connect(gateway.port('proxy'))
    client.send('CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\n')
    await client.answer()
    gateway.signal('SIGTERM')
    await gateway.logged('no new work; waiting for tunnels and requests to end')
    expect(await health()).toBe('1 draining\n')
    client.close()
    await gateway.exited
    expect(await health()).toMatch(/^1 no answer from 127\.0\.0\.1:\d+: nothing listens there/)
  })
})

describe('check', () => {
  it('exits 78 and says every mistake with its place and remedy', async () => {
    const gateway = await startProgram('')
    try {
      const broken = join(gateway.folder, 'broken.yaml')
      writeFileSync(broken, 'cloud: pubic\nfeatures: { pythn: true }\n')
      const { code, stdout } = await runProgram(['check', '--config', broken])
      expect(code).toBe(78)
      expect(stdout).toContain(`${broken}:1:8: `)
      expect(stdout).toMatch(/did you mean `public`\?/)
      expect(stdout).toContain(`${broken}:2:13: `)
      expect(stdout).toMatch(/did you mean `python`\?/)
    } finally {
      await gateway.stop()
    }
  })
})

describe('npm start', () => {
  it('serves the config that is named, and ends when npm is told to', async () => {
    const example = await startProgram('')
    const npm = spawn('npm', ['start', '--silent', '--', '--config', example.configFile], {
      cwd: ROOT,
      env: bareEnvironment({ HOME: process.env['HOME'] ?? '' }),
      stdio: ['ignore', 'ignore', 'pipe'],
      // A process group of its own, so that nothing of it is left behind whatever happens.
      detached: true,
    })
    try {
      const port = await proxyPort(npm)
      expect(await exchangeRaw(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 not_a_proxy_request\r\n/)
      npm.kill('SIGTERM')
      await waitFor(() => RawClient.connect(port).then(leave, () => true as const), 'the end of the gateway')
    } finally {
      killGroup(npm)
      await example.stop()
    }
  })
})

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // Nothing is left of it.
  }
}

function leave(client: RawClient): undefined {
  client.close()
}

/** The port in the listener line of the process log. */
function proxyPort({ stderr }: ChildProcess): Promise<number> {
  let text = ''
  stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return waitFor(() => {
    const found = /"listener":"proxy","address":"127\.0\.0\.1:(\d+)"/.exec(text)
    return found === null ? undefined : Number(found[1])
  }, 'the listener line')
}
