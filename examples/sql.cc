// SPDX-License-Identifier: Apache-2.0
//
// An access log into a table of a database, and back out: examples/sql.lua in C++, with the same functions in Lua.
#include <string>
#include <vector>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  const std::vector<std::string>& arguments = session.arguments();
  const std::string log = !arguments.empty() ? arguments[0] : "-";
  const std::string database = arguments.size() > 1 ? arguments[1] : "sqlite:hosts.db";

  glim::Flow in("into the table");
  in.TextFile(log)
      .Map(R"(function(line)
        local host, bytes = line:match('^(%S+) %S+ %S+ %[[^%]]*%] "%S+ %S+[^"]*" %d+ (%S+)')
        if host then return host, 1, tonumber(bytes) or 0 end
      end)")
      .ReduceBy("function(requests, bytes, more, more_bytes) return requests + more, bytes + more_bytes end")
      .Sort()
      .As({"host", "requests", "bytes"})
      .WriteSql(database, "hosts", {.mode = glim::SqlMode::kReplace, .types = {"text primary key", "", ""}});
  if (const glim::Status status = in.Run(session); !status.ok()) return glim::ExitCode(status);

  glim::Flow out("out of it");
  out.Sql(database, "select host, requests, bytes from hosts order by bytes desc, host limit 5")
      .Printf("%s: %d requests, %d bytes\n");
  return glim::ExitCode(out.Run(session));
}
