// Seconds that Graphile Worker needs for the given number of trivial jobs, with the settings it recommends for
// throughput: a local queue, completions in batches. Its start counts, as ours does; adding the jobs does not.
import { run, runMigrations } from "graphile-worker";
import pg from "pg";

const [url, jobs] = [process.argv[2], Number(process.argv[3])];
const pool = new pg.Pool({ connectionString: url, max: 10 });
await runMigrations({ pgPool: pool });
await pool.query("TRUNCATE graphile_worker._private_jobs");
await pool.query(
  "SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(SELECT row('trivial', json_build_object('id', n), null, null, " +
    "null, null, null, null)::graphile_worker.job_spec FROM generate_series(1, $1::int) n))",
  [jobs],
);
await pool.query("VACUUM ANALYZE graphile_worker._private_jobs");
await pool.query("CHECKPOINT");

let done = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));
const began = process.hrtime.bigint();
const runner = await run({
  pgPool: pool,
  taskList: { trivial: () => void (++done === jobs && finish()) },
  noHandleSignals: true,
  preset: {
    worker: {
      concurrentJobs: 24,
      localQueue: { size: 1000 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
});
await finished;
await runner.stop();
console.log(Number(process.hrtime.bigint() - began) / 1e9);
await pool.end();
