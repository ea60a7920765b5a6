import { spawn } from 'node:child_process'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { suggest } from '../../src/cli/suggest.ts'
import { loadConfig } from '../../src/io/config/load.ts'
import { MAIN } from '../support/program-under-test.ts'
import { configFolder, sallyport } from './cli-run.ts'

const write = configFolder()
const CONFIG = write(`features: { python-files: false }
workspace: { storageAccounts: [examplestore] }
rules:
  - { name: hush, hosts: [hush.test], action: deny, quiet: true }
`)

function line(host: string, port = 443, more: object = {}): string {
  return `${JSON.stringify({
    time: '2026-11-22T08:00:00.000Z',
    id: 'x',
    event: 'deny',
    kind: 'connect',
    listener: 'proxy',
    client: '10.0.0.7',
    host,
    port,
    reason: 'host_not_listed',
    gateway: 'gw-1',
    policyHash: 'p',
    ...more,
  })}\n`
}

const LOG = [
  line('files.pythonhosted.org'),
  line('otherstore.blob.core.windows.net'),
  line('git.corp.test', 443, { time: '2026-11-22T09:30:00.000Z', client: '10.0.0.8', event: 'would_deny' }),
  line('npm.corp.test', 443, { gateway: 'gw-2' }),
  line('dc.services.visualstudio.com'),
  line('pypi.org', 443, { event: 'allow' }),
  line('hush.test'),
  line('ml.azure.us'),
].join('')

const ask = (...words: string[]) => sallyport(['suggest', '--config', CONFIG, ...words])

describe('sallyport suggest', () => {
  it('prints YAML that the config loader takes as it stands', async () => {
    const { code, stdout } = await ask(write(LOG, 'audit.jsonl'))
    expect(code).toBe(0)
    const loaded = await loadConfig(write(stdout, 'suggested.yaml'))
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error))
    const { features, workspace, rules } = loaded.value.config
    expect(features).toEqual({ 'python-files': true })
    expect(workspace.storageAccounts).toEqual(['examplestore', 'otherstore'])
    expect(rules.map(({ name, action, quiet }) => [name, action, quiet])).toEqual([
      ['corp-test', 'allow', undefined],
      ['quiet-diagnostics', 'deny', true],
    ])
  })

  it('says beside each line how often, who and when, and what else it opens', async () => {
    const { stdout } = await ask(write(LOG, 'audit.jsonl'))
    expect(stdout).toContain(
      '# sallyport suggest: 8 audit events on 2 gateways, 7 refused, 2026-11-22T08:00Z to 2026-11-22T09:30Z',
    )
    expect(stdout).toContain('  # opens *.pythonhosted.org:80,443\n')
    expect(stdout).toContain('    - "examplestore" # already there\n')
    expect(stdout).toContain('    - "otherstore" # only if it is yours: anybody can have one\n')
    expect(stdout).toContain(
      '      - "git.corp.test" # 1 refused, let through in report mode, 1 client: 10.0.0.8; 2026-11-22T09:30Z\n',
    )
    expect(stdout).toContain('hosts: ["*.corp.test"]')
    expect(stdout).toContain('# 1 destination, 1 refused: refused by quiet rules, as expected\n')
    expect(stdout).toMatch(/^# ml\.azure\.us:443: 1 refused.*cloud: government/m)
  })

  it('reads several logs, and standard input as `-`', async () => {
    const stdin = async function* () {
      // Cut where it hurts: inside a line, and inside a character.
      const bytes = Buffer.from(line('b.test', 443, { detail: 'é' }) + line('c.test'))
      for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7)
    }
    let out = ''
    const io = { stdin: stdin(), stdout: { write: (text: string) => (out += text) }, stderr: { write: () => {} } }
    expect(await suggest([write(line('a.test'), 'a.jsonl'), '-'], { config: CONFIG }, io)).toBe(0)
    for (const host of ['a.test', 'b.test', 'c.test']) expect(out).toContain(`- "${host}"`)
  })

  it('passes over broken and foreign lines, counts them and says where the first is', async () => {
    const log = write(
      `${line('a.test')}{"time":"2026\n\n{"level":30,"msg":"listening"}\n${line('b.test').trimEnd()}`,
      'torn.jsonl',
    )
    const { code, stdout, stderr } = await ask(log)
    expect(code).toBe(0)
    expect(stderr).toBe(`${log}:2: 2 lines of 5 passed over: 1 broken, 1 is no audit event; this is the first\n`)
    expect(stdout).toContain('2 audit events')
  })

  it('prints the same as JSON', async () => {
    const { stdout } = await ask('--json', write(LOG, 'audit.jsonl'))
    expect(JSON.parse(stdout)).toMatchObject({
      events: 8,
      gateways: ['gw-1', 'gw-2'],
      features: [{ feature: 'python-files', because: [{ target: 'files.pythonhosted.org:443', evidence: { count: 1 } }] }],
      names: [{ setting: 'storageAccounts', name: 'otherstore' }],
      rules: [
        { name: 'corp-test', wider: '*.corp.test' },
        { name: 'quiet-diagnostics', quiet: true },
      ],
      left: [{ host: 'ml.azure.us', port: 443 }],
    })
  })

  it('leaves out what is rarer than --min-count or older than --since', async () => {
    const log = write(LOG + line('files.pythonhosted.org'), 'twice.jsonl')
    expect((await ask('--min-count', '2', log)).stdout).not.toContain('corp.test"')
    const late = await ask('--since', '2026-11-22T09:00:00Z', log)
    expect(late.stdout).not.toContain('python-files')
    expect(late.stdout).toContain('- "git.corp.test"')
    expect(late.stdout).toContain('# 7 refusals before `--since`')
  })

  it('reckons `--since 2h` from now', async () => {
    let out = ''
    const io = { stdout: { write: (text: string) => (out += text) }, stderr: { write: () => {} } }
    const at = new Date('2026-11-22T11:00:00Z')
    await suggest([write(LOG, 'audit.jsonl')], { config: CONFIG, since: '2h' }, io, at)
    expect(out).toContain('- "git.corp.test"')
    expect(out).not.toContain('npm.corp.test')
  })

  it('says so when there is nothing to change', async () => {
    const { code, stdout } = await ask(write('', 'empty.jsonl'))
    expect(code).toBe(0)
    expect(stdout).toBe('# sallyport suggest: 0 audit events, nothing refused\n# nothing to change\n')
  })

  it('tells of clients that may not use the gateway at all', async () => {
    const { host: _, port: __, ...rest } = JSON.parse(line('x'))
    const { stdout } = await ask(write(`${JSON.stringify({ ...rest, reason: 'client_not_allowed' })}\n`, 'client.jsonl'))
    expect(stdout).toMatch(/^# 1 refused, 1 client: 10.0.0.7; .*client_not_allowed: this client may not use the gateway$/m)
  })

  it('lets nothing in a log break out of its line or its quotes', async () => {
    const log = write(
      line('a.test', 443, { client: '10.0.0.7\n  - evil', gateway: '\u001b[2J' }) + line('x"]\nrules: []', 443),
      'hostile.jsonl',
    )
    const { stdout } = await ask(log)
    expect(stdout).toMatch(/^[\x20-\x7e\n]*$/)
    expect(stdout.split('\n').filter((one) => one.startsWith('  - '))).toEqual(['  - name: "a-test"'])
  })

  const refused: readonly (readonly [what: string, words: readonly string[], code: number, says: string])[] = [
    ['a log that is not there', ['/nowhere/audit.jsonl'], 1, 'cannot read `/nowhere/audit.jsonl`: there is no such file'],
    ['a folder', [process.cwd()], 1, 'EISDIR'],
    ['no log', [], 2, 'missing required argument'],
    ['a count that is none', ['--min-count', '0', '-'], 2, '`--min-count` wants a whole number from 1 on'],
    ['a time that is none', ['--since', 'yesterday', '-'], 2, '`--since` wants a time'],
    ['a day that is none', ['--since', '2026-13-45', '-'], 2, '`--since` wants a time'],
  ]
  for (const [what, words, code, says] of refused)
    it(`refuses ${what}`, async () => {
      const outcome = await ask(...words)
      expect(outcome.code).toBe(code)
      expect(outcome.stderr).toContain(says)
      expect(outcome.stdout).toBe('')
    })

  it('says how a compressed log is read', async () => {
    const log = write('', 'audit.jsonl.gz')
    const { writeFileSync } = await import('node:fs')
    writeFileSync(log, gzipSync(LOG))
    const { code, stderr } = await ask(log)
    expect(code).toBe(1)
    expect(stderr).toContain('gzip -dc')
  })

  it('refuses a config with mistakes', async () => {
    const { code } = await sallyport(['suggest', '--config', write('clod: public\n', 'broken.yaml'), '-'])
    expect(code).toBe(78)
  })
})

describe('a log of any length', () => {
  it('is read in little memory, although every line brings a new name, client and path', async () => {
    // A sixteenth of what Node would take by itself; the log is longer than that, and nothing in it repeats.
    const child = spawn(process.execPath, ['--max-old-space-size=64', MAIN, 'suggest', '--config', CONFIG, '-'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let out = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const LINES = 150_000
    for (let at = 0; at < LINES; ) {
      let text = ''
      for (const end = at + 1_000; at < end; at++)
        text += line(`r${at}.flood.test`, 443, {
          client: `10.${at % 199}.${at % 251}.${at % 241}`,
          method: 'GET',
          path: `/${at}/${'x'.repeat(300)}`,
          reason: at % 2 === 0 ? 'host_not_listed' : 'path_not_listed',
        })
      if (!child.stdin.write(text)) await new Promise((resolve) => child.stdin.once('drain', resolve))
    }
    child.stdin.end()
    expect(await ended, errors).toBe(0)
    expect(out).toContain(`# sallyport suggest: ${LINES.toLocaleString('en')} audit events`)
    expect(out).toMatch(/^# not counted: 14\d,\d{3} refused at 14\d,\d{3} destinations, the rarest of too many$/m)
  }, 60_000)
})
