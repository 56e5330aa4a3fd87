// SPDX-License-Identifier: MIT
#pragma once

/// tine: work in child processes, with values instead of accidents.
///
/// The tour:
///
///     // A program, without a shell; a non-zero exit is a Failure.
///     auto head = tine::read({"git", "rev-parse", "HEAD"});
///     if (!head) std::cerr << head.error().to_string() << '\n';
///
///     // Where it runs, with what, for how long; what it wrote, what it used.
///     auto out = tine::Command{"sim", "a.cfg"}.dir("/data").env("SEED", "7").capture();
///
///     // Lines as they arrive, in bounded memory.
///     tine::Command{"journalctl", "-f"}.each_line([](tine::Piece line) { return handle(line); });
///
///     // A child to hold: signalled, waited for, and ended at the latest by its destructor.
///     tine::Child server = tine::Command{"server"}.start().value();
///
///     // A pipeline without a shell; the status and usage of every stage.
///     auto n = (tine::Command{"zcat", log} | tine::Command{"grep", "-c", "500"}).read();
///
///     // One after another, until one fails.
///     auto steps = tine::Series::all_of({{"make"}, {"make", "test"}}).run();
///
///     // Many, eight at a time; one outcome each, whatever happens to it.
///     tine::Batch batch{{.timeout = 30s, .jobs = 8, .retries = 2}};
///     for (const auto& file : files) batch.add({"gzip", "-9", file});
///     while (auto outcome = batch.next()) ...
///
///     // A function in a forked child, and its value back; a crash is a Failure.
///     tine::Result<double> area = tine::call({.timeout = 5s}, [&] { return integrate(grid); });
///
///     // The same over many inputs, on all cores; one result each, in order, whatever happens.
///     auto sizes = tine::map(files, [&](const std::string& file) { return compress(file); });
///     for (const auto& [file, size] : tine::zip(files, sizes)) ...
///     // What parent and children see alike; random numbers that they do not share.
///     tine::Shared<std::atomic<int>> done{0};
///     auto child = tine::launch([&] { simulate(tine::rng()); ++*done; });
///
///     // Workers that stay, for many small tasks; what crashes costs that task alone.
///     tine::Pool pool{{.workers = 8}};
///     tine::PoolFuture<double> score = pool.submit(score_document, document);
///
///     // The same from programs with threads, or gigabytes: a server that was forked in time.
///     tine::ForkServer::start().value();                      // first thing in main
///     auto sum = tine::call({.start = tine::StartMethod::fork_server}, add_up, numbers);
///
///     // A value as bytes, and back, whatever the bytes are.
///     auto bytes = tine::encode(std::map<std::string, int>{{"a", 1}}).value();
///     auto value = tine::decode<std::map<std::string, int>>(bytes);
///
/// Whatever is started here dies with this process, also when this process is killed; detach() is
/// the way out. Nothing in here throws but std::bad_alloc; throwing.h has throwing twins.

#include "tine/batch.h"
#include "tine/call.h"
#include "tine/cancel.h"
#include "tine/child.h"
#include "tine/codec.h"
#include "tine/command.h"
#include "tine/conversation.h"
#include "tine/error.h"
#include "tine/exit_status.h"
#include "tine/fd.h"
#include "tine/fork_mutex.h"
#include "tine/fork_server.h"
#include "tine/future.h"
#include "tine/launch.h"
#include "tine/lazy_map.h"
#include "tine/literals.h"
#include "tine/map.h"
#include "tine/map_results.h"
#include "tine/pipe.h"
#include "tine/pipeline.h"
#include "tine/plain_function.h"
#include "tine/pool.h"
#include "tine/pool_future.h"
#include "tine/process.h"
#include "tine/random.h"
#include "tine/series.h"
#include "tine/shared.h"
#include "tine/shared_array.h"
#include "tine/start_method.h"
#include "tine/throwing.h"
#include "tine/wipe_on_fork.h"
#include "tine/zip.h"
