// SPDX-License-Identifier: Apache-2.0
//
// Children of this process that have one of the roles of roles.h: this program, started again, or, of an agent, that of
// a driver.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/status.h"

namespace glim::engine {

struct Child {
  std::unique_ptr<env::ChildProcess> process;  // Ends when this is destroyed.
  std::string address;                         // Where it listens.
};

// Waits until it listens. `role`: ChildOf (roles.h). `what`: for messages: "the master". kUnavailable when it does not
// listen by `until`, or ends before that. `environment`: "NAME=value", added to ours.
Result<Child> StartChild(env::Env& env, const std::string& what, const std::string& role, int64_t until,
                         std::vector<std::string> environment = {});

// A program as somebody started it, to be started once more.
struct Program {
  std::string binary;                           // Its path.
  std::map<std::string, std::string> binaries;  // The paths of the same for other architectures (env::Architecture()).
  std::vector<std::string> arguments;           // Without the program's name.
  std::vector<std::string> environment;         // "NAME=value": what is to be added to ours.
  std::string folder;                           // Its current one.
};
// This process, as it was started.
Result<Program> ThisProgram(env::Env& env);

// As StartChild, for a program whose main runs until it makes its first Session, and whatever it prints meanwhile is
// dropped. It reads nothing: its standard input is empty.
Result<Child> StartProgram(env::Env& env, const Program& program, const std::string& role, int64_t until);
// What such a child says of where it listens; `role`: what it was started with.
std::string ListeningLine(const std::string& role, const std::string& address);

}  // namespace glim::engine
