import { spawn } from 'node:child_process'
import { err, ok, type Result } from '../../core/result.ts'
import { TABLE } from '../../core/subnet/rule-set.ts'

/** The one place that runs `nft`. Everything is said to it on standard input or by fixed words: nothing of a config is an argument. */

/** A transaction of ten thousand elements takes well under a second; past this something is wrong with the host. */
const DEADLINE_MS = 15_000

/** A listing with every set full is about 2 MB. */
const OUTPUT_BYTES_MAX = 16_777_216

/** How much of what nft says is repeated. */
const COMPLAINT_CHARACTERS = 300

export class Nft {
  readonly #program: string

  constructor(program = 'nft') {
    this.#program = program
  }

  /** `nftables v1.0.6 (...)`. */
  async version(): Promise<Result<string, string>> {
    const ran = await this.#run(['--version'])
    return ran.ok ? ok(ran.value.trim()) : ran
  }

  /** All of it or nothing of it. */
  async apply(script: string): Promise<Result<void, string>> {
    const ran = await this.#run(['-f', '-'], script)
    return ran.ok ? ok(undefined) : ran
  }

  /** The table without what changes by itself; undefined where there is none. */
  async rules(): Promise<Result<string | undefined, string>> {
    const ran = await this.#run(['-s', 'list', 'table', ...TABLE.split(' ')])
    if (ran.ok) return ok(settled(ran.value))
    return isAbsent(ran.error) ? ok(undefined) : ran
  }

  /** The table as parsed JSON, counters and all. */
  async listing(): Promise<Result<unknown, string>> {
    const ran = await this.#run(['-j', 'list', 'table', ...TABLE.split(' ')])
    if (!ran.ok) return ran
    try {
      return ok(JSON.parse(ran.value))
    } catch {
      return err('nft answered with something that is no JSON')
    }
  }

  #run(words: readonly string[], input = ''): Promise<Result<string, string>> {
    return new Promise((resolve) => {
      const child = spawn(this.#program, words, { stdio: 'pipe', env: { PATH: SYSTEM_PATH, LC_ALL: 'C.UTF-8' } })
      const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
      const said = { stdout: '', stderr: '' }
      for (const name of ['stdout', 'stderr'] as const) {
        child[name].setEncoding('utf8').on('data', (text: string) => {
          if (said[name].length < OUTPUT_BYTES_MAX) said[name] += text
          else child.kill('SIGKILL')
        })
      }
      child.stdin.on('error', () => {})
      child.stdin.end(input)
      child.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer)
        resolve(
          err(
            error.code === 'ENOENT' ? '`nft` is not installed: apt-get install nftables' : `\`nft\` cannot be run: ${error.code}`,
          ),
        )
      })
      child.on('close', (code) => {
        clearTimeout(timer)
        resolve(code === 0 ? ok(said.stdout) : err(complaint(said.stderr, code)))
      })
    })
  }
}

/** Where Debian and others have `nft`; a unit's own PATH may leave out `sbin`. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

function complaint(stderr: string, code: number | null): string {
  const text = stderr.trim().replace(/\s+/g, ' ')
  if (text.includes('Operation not permitted') || text.includes('you must be root'))
    return 'the kernel does not permit it: run this as root, or with CAP_NET_ADMIN as deploy/systemd/sallyport-subnet.service does'
  if (text === '') return code === null ? '`nft` gave no answer in time' : `\`nft\` ended with ${code}`
  return text.slice(0, COMPLAINT_CHARACTERS)
}

function isAbsent(text: string): boolean {
  return text.includes('No such file or directory')
}

/** Sets with a timeout fill and empty by themselves. */
function settled(listing: string): string {
  return listing.replace(/^\tset [^\n]*\{\n(?:\t\t[^\n]*\n)*?\t\}\n/gm, (block) =>
    /^\t\t(?:flags [a-z,]*timeout|timeout )/m.test(block) ? block.replace(/\t\telements = \{[^}]*\}\n/, '') : block,
  )
}
