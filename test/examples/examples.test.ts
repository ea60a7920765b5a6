import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { type ProgramUnderTest, runProgram, startProgram } from '../support/program-under-test.ts'
import { RawClient } from '../support/raw-client.ts'

/** Each example as an operator would use it: named in the config of the built program. */

let origin: HttpOrigin
let program: ProgramUnderTest | undefined

beforeEach(async () => {
  origin = await HttpOrigin.start((_req, res) => void res.end('ok'))
})
afterEach(async () => {
  await program?.stop()
  program = undefined
  await origin.stop()
})

async function start(example: string, env: Record<string, string>, more = ''): Promise<ProgramUnderTest> {
  const file = fileURLToPath(new URL(example, new URL('../../examples/', import.meta.url)))
  const pins = ['pypi.org', 'management.azure.com', 'git.test'].map((host) => `${host}: "127.0.0.1:${origin.port}"`)
  program = await startProgram(
    `hooks: { files: [${JSON.stringify(file)}], timeoutMs: 5000 }
rules: [{ name: git, hosts: [git.test], ports: [80] }]
destinations: { pin: { ${pins.join(', ')} } }
${more}`,
    { env },
  )
  return program
}

interface Answer {
  readonly status: number
  readonly hint: string | undefined
}

function get(host: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: '127.0.0.1',
        port: program?.port('proxy'),
        path: `http://${host}/`,
        headers: { Host: host, ...headers },
        agent: false,
      },
      (res) => {
        let body = ''
        res.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        res.on('end', () =>
          resolve({ status: res.statusCode ?? 0, hint: body.startsWith('{') ? JSON.parse(body).hint : undefined }),
        )
      },
    )
    asked.on('error', reject).end()
  })
}

describe('business hours', () => {
  const TIMES = [
    { now: '2026-11-20T08:00:00Z', when: 'Friday, 9:00 in Berlin', open: true },
    { now: '2026-11-20T05:59:59Z', when: 'a second before opening', open: false },
    { now: '2026-11-20T06:00:00Z', when: 'opening time', open: true },
    { now: '2026-11-20T18:00:00Z', when: 'closing time', open: false },
    { now: '2026-07-17T16:59:00Z', when: 'Friday in summer time, a minute before closing', open: true },
    { now: '2026-11-21T10:00:00Z', when: 'Saturday', open: false },
    { now: '2026-11-22T23:30:00Z', when: 'Monday in Berlin and Sunday in UTC, at night', open: false },
  ]
  for (const { now, when, open } of TIMES)
    it(`package mirrors are ${open ? 'open' : 'closed'}: ${when}`, async () => {
      await start('business-hours.ts', { BUSINESS_NOW: now, BUSINESS_TIME_ZONE: 'Europe/Berlin' })
      const answer = await get('pypi.org')
      expect(answer.status).toBe(open ? 200 : 403)
      if (!open)
        expect(answer.hint).toBe('the hook `business-hours.ts` says: `open Monday to Friday, 7:00 to 19:00 Europe/Berlin`')
      expect((await get('git.test')).status, 'what is no mirror').toBe(200)
    })

  it('a tunnel that is open at closing time is closed then', async () => {
    const running = await start('business-hours.ts', {
      BUSINESS_NOW: '2026-11-20T17:59:59Z',
      BUSINESS_TIME_ZONE: 'Europe/Berlin',
    })
    const client = await RawClient.connect(running.port('proxy'))
    client.send('CONNECT pypi.org:80 HTTP/1.1\r\nHost: pypi.org:80\r\n\r\n')
    await client.until((text) => text.includes(' 200 '))
    await client.untilClosed()
    expect(await running.audit({ kind: 'connect', endedBy: 'lifetime' })).toHaveLength(1)
  })
})

describe('the ticket number', () => {
  it('is wanted for what is not documented, and for nothing else', async () => {
    await start('ticket-number.ts', {})
    expect((await get('pypi.org')).status).toBe(200)
    expect(await get('git.test')).toEqual({
      status: 403,
      hint: 'the hook `ticket-number.ts` says: `send the number of the change to the proxy as X-Ticket: CHG0012345`',
    })
    expect((await get('git.test', { 'X-Ticket': 'CHG12' })).status).toBe(403)
    expect((await get('git.test', { 'X-Ticket': 'CHG0012345' })).status).toBe(200)
    expect((await get('git.test', { 'X-Ticket': 'CHG00123456' })).status).toBe(403)
  })

  it('is that of the CONNECT for all that is inside a tunnel, and stays with the proxy', async () => {
    const running = await start('ticket-number.ts', {})
    const client = await RawClient.connect(running.port('proxy'))
    client.send('CONNECT git.test:80 HTTP/1.1\r\nHost: git.test:80\r\nX-Ticket: CHG0012345\r\n\r\n')
    await client.until((text) => text.includes(' 200 '))
    client.send('GET /repo HTTP/1.1\r\nHost: git.test\r\n\r\n')
    await client.until((text) => text.includes('\r\n\r\nok'))
    expect(origin.requests.map(({ headers }) => headers['x-ticket'])).toEqual([undefined])
    client.close()
  })
})

describe('the chat notification', () => {
  it('tells each destination once with how often, and the rest when the gateway ends', async () => {
    const messages: string[] = []
    const chat = await HttpOrigin.start((req, res) => {
      let body = ''
      req.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      req.on('end', () => {
        messages.push((JSON.parse(body) as { text: string }).text)
        res.end()
      })
    })
    try {
      const env = { CHAT_WEBHOOK_URL: `http://127.0.0.1:${chat.port}/hook`, CHAT_EVERY_MS: '300' }
      const running = await start('chat-notification.ts', env)
      for (let i = 0; i < 5; i++) expect((await get('a.test')).status).toBe(403)
      await get('b.test')
      const counted = () =>
        messages
          .join('\n')
          .match(/^(\d+) x a\.test:80/gm)
          ?.reduce((sum, line) => sum + Number.parseInt(line, 10), 0)
      await waitFor(
        () => (counted() === 5 && messages.join().includes('1 x b.test:80: host_not_listed (') ? true : undefined),
        'messages',
      )
      expect(messages.length).toBeLessThan(6)
      await get('last.test')
      running.signal('SIGTERM')
      expect((await running.exited).code).toBe(0)
      expect(messages.join()).toContain('last.test')
    } finally {
      await chat.stop()
    }
  })

  it('does not start without its webhook, and says so', async () => {
    await expect(start('chat-notification.ts', {})).rejects.toThrow(/chat-notification\.ts:\d+:\d+: Error: set CHAT_WEBHOOK_URL/)
  })
})

it('`explain` says that hooks have not been asked, and `check` says where one does not compile', async () => {
  const running = await start('ticket-number.ts', {})
  const explained = await runProgram(['explain', '--config', running.configFile, 'git.test:80'])
  expect(explained.stdout).toContain('  hooks      not asked here: `ticket-number.ts` may still refuse or narrow it\n')
  writeFileSync(join(running.folder, 'broken.ts'), 'export default {')
  writeFileSync(join(running.folder, 'broken.yaml'), 'hooks: { files: [broken.ts] }\n')
  const checked = await runProgram(['check', '--config', join(running.folder, 'broken.yaml')])
  expect(checked.code).toBe(78)
  expect(`${checked.stdout}${checked.stderr}`).toMatch(/broken\.yaml:1:18: broken\.ts:1:17: /)
})

describe('with two workers', () => {
  it('each asks a hook process of its own', async () => {
    const running = await start('ticket-number.ts', {}, 'workers: 2\n')
    for (let i = 0; i < 8; i++) {
      expect((await get('git.test')).status).toBe(403)
      expect((await get('git.test', { 'X-Ticket': 'CHG0012345' })).status).toBe(200)
    }
    await waitFor(async () => ((await running.metric('sallyport_hook_processes')) === 2 ? true : undefined), 'both processes')
    expect(running.log.filter(({ level }) => level === 'error')).toEqual([])
  })

  it('a hook that does not load in one of them is taken up by none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-crew-hooks-'))
    const file = join(folder, 'hook.ts')
    const hook = (before: string, verdict: string) =>
      writeFileSync(
        file,
        `import { defineHook } from 'sallyport'\n${before}\nexport default defineHook({ onRequest: () => ({ verdict: '${verdict}' }) })\n`,
      )
    try {
      hook('', 'pass')
      const running = await start(file, {}, 'workers: 2\nreload: { watch: false }\n')
      expect((await get('git.test')).status).toBe(200)
      hook("throw new Error('at the top')", 'deny')
      running.signal('SIGHUP')
      const { problems } = await running.logged('reload failed; the policy in force stays')
      expect(String(problems)).toMatch(/hook\.ts:2:7: Error: at the top/)
      for (let i = 0; i < 8; i++) expect((await get('git.test')).status).toBe(200)
      hook('', 'deny')
      running.signal('SIGHUP')
      await running.logged('reloaded')
      for (let i = 0; i < 8; i++) expect((await get('git.test')).status).toBe(403)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
