/** Many damaged images on several threads, each watched from outside: a run without an end, or without memory, is a failure like any other. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

export interface CampaignOptions {
  /** Of the first image; the others follow. */
  firstSeed: number;
  images: number;
  /** Default: one per core, at most 8. */
  threads?: number;
  /** Called now and then. */
  progress?: (done: number, failures: number, imagesPerSecond: number) => void;
  /** Called with each failure. */
  failed?: (report: Report) => void;
}

/** What the threads send, and what is told of a failure. */
export interface Report {
  seed: number;
  /** Undefined: all was well. */
  failure: { description: string[]; error: string } | undefined;
  opened: boolean;
  repaired: boolean;
}

export interface CampaignResult {
  done: number;
  opened: number;
  repaired: number;
  seconds: number;
  failures: Report[];
}

/** Seeds that a thread is given at a time. */
const BATCH = 25;
/** A healthy image takes some ten milliseconds; a loaded machine is forgiven a lot. */
const STUCK_MS = 120_000;
const HEAP_MIB = 768;
const FAILURES_MAX = 20;

/** One thread and the seed it is at. */
class Thread {
  private worker: Worker;
  private current = 0;
  private last = 0;
  private timer: NodeJS.Timeout | undefined;
  private next = 0;
  private end = 0;

  constructor(private readonly campaign: Campaign) {
    this.worker = this.start();
  }

  private start(): Worker {
    const worker = new Worker(fileURLToPath(new URL('worker.js', import.meta.url)), { resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } });
    worker.on('message', (message: { at: number } | Report) => {
      if ('at' in message) {
        this.current = message.at;
        this.watch();
        return;
      }
      this.campaign.report(message);
      this.next = message.seed + 1;
      if (this.next >= this.end) this.takeBatch();
    });
    worker.on('error', (error) => {
      this.lose(String(error));
    });
    return worker;
  }

  takeBatch(): void {
    clearTimeout(this.timer);
    const batch = this.campaign.takeBatch();
    if (batch === undefined) {
      void this.worker.terminate();
      this.campaign.threadEnded();
      return;
    }
    [this.next, this.end] = batch;
    this.send();
  }

  private send(): void {
    this.last = this.current = this.next;
    this.watch();
    this.worker.postMessage([this.next, this.end]);
  }

  private watch(): void {
    clearTimeout(this.timer);
    this.last = this.current;
    this.timer = setTimeout(() => {
      void this.worker.terminate();
      this.lose(`no end after ${String(STUCK_MS / 1000)} seconds`);
    }, STUCK_MS);
  }

  /** The thread is gone: the seed it was at is to blame, another thread goes on behind it. */
  private lose(error: string): void {
    this.campaign.report({ seed: this.last, failure: { description: [], error }, opened: false, repaired: false });
    this.worker = this.start();
    this.next = this.last + 1;
    if (this.next >= this.end) this.takeBatch();
    else this.send();
  }
}

class Campaign {
  readonly result: CampaignResult = { done: 0, opened: 0, repaired: 0, seconds: 0, failures: [] };
  private next: number;
  private running = 0;
  private readonly started = performance.now();

  constructor(
    private readonly options: CampaignOptions,
    private readonly ended: (result: CampaignResult) => void,
  ) {
    this.next = options.firstSeed;
  }

  run(): void {
    const threads = Math.min(this.options.threads ?? Math.min(8, availableParallelism()), Math.ceil(this.options.images / BATCH));
    this.running = threads;
    for (let i = 0; i < threads; i += 1) new Thread(this).takeBatch();
  }

  takeBatch(): [number, number] | undefined {
    const end = this.options.firstSeed + this.options.images;
    if (this.next >= end || this.result.failures.length >= FAILURES_MAX) return undefined;
    const start = this.next;
    this.next = Math.min(end, start + BATCH);
    return [start, this.next];
  }

  report(report: Report): void {
    const { result } = this;
    result.done += 1;
    if (report.opened) result.opened += 1;
    if (report.repaired) result.repaired += 1;
    if (report.failure !== undefined) {
      result.failures.push(report);
      this.options.failed?.(report);
    }
    result.seconds = (performance.now() - this.started) / 1000;
    this.options.progress?.(result.done, result.failures.length, result.done / result.seconds);
  }

  threadEnded(): void {
    this.running -= 1;
    if (this.running === 0) this.ended(this.result);
  }
}

/** Runs the images; ends early when there are many failures. */
export function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  return new Promise((resolve) => {
    new Campaign(options, resolve).run();
  });
}

/** What to show of a failure: everything that is needed to run it again. */
export function describeFailure({ seed, failure }: Report): string {
  const description = failure?.description.map((line) => `  ${line}\n`).join('') ?? '';
  return `SEED=${String(seed)}\n${description}  ${failure?.error.replace(/\n/g, '\n  ') ?? ''}\nreplay with: make fuzz SEED=${String(seed)}`;
}
