import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

/** Where control groups stand on Linux. */
const CGROUPS = '/sys/fs/cgroup'

export interface CpuFacts {
  /** Cores that this process may run on. */
  readonly cores: number
  /** A file's content; undefined where there is none. */
  readonly read: (file: string) => string | undefined
}

/**
 * How many workers there are: the number asked for, or one for each whole core that this process may use. A container's CPU quota counts
 * (cgroup v2 `cpu.max`, v1 `cpu.cfs_quota_us`): Node sees all cores of the machine, and processes beyond the quota only wait for each
 * other.
 */
export function workerCount(asked: number | 'auto', facts: CpuFacts = systemFacts()): number {
  if (asked !== 'auto') return asked
  return Math.max(1, Math.min(MAX_WORKERS, Math.floor(Math.min(facts.cores, quota(facts)))))
}

/** The most that `workers` takes. */
export const MAX_WORKERS = 64

/** CPUs of the tightest quota on the way from this process's group to the root. */
function quota({ read }: CpuFacts): number {
  const quotas = groups(read).map(({ version, folder }) => {
    if (version === 2) {
      const [most, period] = (read(join(folder, 'cpu.max')) ?? '').trim().split(' ')
      return ratio(most, period)
    }
    return ratio(read(join(folder, 'cpu.cfs_quota_us')), read(join(folder, 'cpu.cfs_period_us')))
  })
  return Math.min(Number.POSITIVE_INFINITY, ...quotas)
}

/** `max` and -1 are without limit. */
function ratio(most = '', period = ''): number {
  const cpus = Number(most) / Number(period)
  return Number.isFinite(cpus) && cpus > 0 ? cpus : Number.POSITIVE_INFINITY
}

interface Group {
  readonly version: 1 | 2
  readonly folder: string
}

/** cgroups(7): lines `0::/path` (version 2) and `4:cpu,cpuacct:/path` (version 1). In a container the root may be its own group. */
function groups(read: CpuFacts['read']): Group[] {
  const own = (read('/proc/self/cgroup') ?? '').split('\n').flatMap((line): Group[] => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) return []
    if (controllers === '') return upwards(path).map((folder) => ({ version: 2, folder: join(CGROUPS, folder) }))
    if (!controllers.split(',').includes('cpu')) return []
    return upwards(path).flatMap((folder) =>
      ['cpu', controllers].map((mount): Group => ({ version: 1, folder: join(CGROUPS, mount, folder) })),
    )
  })
  return own
}

/** `/a/b`, `/a`, `/`. */
function upwards(path: string): string[] {
  const steps = path.split('/').filter((step) => step !== '' && step !== '..')
  return Array.from({ length: steps.length + 1 }, (_, dropped) => `/${steps.slice(0, steps.length - dropped).join('/')}`)
}

function systemFacts(): CpuFacts {
  return {
    cores: availableParallelism(),
    read: (file) => {
      try {
        return readFileSync(file, 'utf8')
      } catch {
        return undefined
      }
    },
  }
}
