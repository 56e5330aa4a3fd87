// SPDX-License-Identifier: MIT

/// The last chapter of docs/library.md: what a Failure and an Error tell a program and a person.

#include <tine/tine.h>

#include <cstdio>
#include <exception>
#include <string>

namespace {

/// What a program decides on: the cause, and for not_started the kind of the error.
std::string advice(const tine::Failure& failure) {
  switch (failure.cause) {
    case tine::Cause::exited: return "it chose code " + std::to_string(*failure.status->code());
    case tine::Cause::signaled: return "it died: " + failure.status->to_string();
    case tine::Cause::timed_out: return "give it more time";
    case tine::Cause::cancelled: return "somebody stopped it";
    case tine::Cause::not_started:
      return failure.error->kind == tine::ErrorKind::not_found ? "install it" : "look at the error";
    default: return "see the text";
  }
}

void show(const tine::Command& command) {
  const auto result = command.capture();
  if (result) return;
  const tine::Failure& failure = result.error();
  std::printf("%s\n  cause: %s; %s\n", failure.to_string().c_str(),
              std::string(tine::to_string(failure.cause)).c_str(), advice(failure).c_str());
  if (!failure.output.empty()) std::printf("  it had said: %s", failure.output.c_str());
}

}  // namespace

int main() {
  show({"/no/such/program"});
  show({"sh", "-c", "echo half a result; echo 'disk is full' >&2; exit 3"});
  show({"sh", "-c", "kill -9 $$"});

  // Operations on handles give an Error, which names the step and the reason.
  const auto child = tine::Command{"true"}.dir("/no/such/directory").start();
  if (child) return 1;
  std::printf("%s\n  stage cwd: %d, errno %d\n", child.error().to_string().c_str(),
              child.error().stage == tine::Stage::cwd, child.error().errno_value);

  // Neither the environment nor the input is ever part of a message.
  const auto secret = tine::Command{"false"}.env("TOKEN", "hunter2").input("hunter2").capture();
  if (secret) return 1;
  const bool told = secret.error().to_string().find("hunter2") != std::string::npos;
  std::printf("the secret was %s\n", told ? "told" : "kept");

  // For code that prefers exceptions.
  try {
    std::printf("%s\n", tine::throwing::read({"false"}).c_str());
  } catch (const tine::FailureException& exception) {
    std::printf("thrown: %s\n", exception.what());
  }
  return 0;
}
