// SPDX-License-Identifier: Apache-2.0
//
// All of Glim for a C++ program: flows (glim/flow.h), tables (glim/table.h) and the session that runs the ones and
// holds the others (glim/session.h).
#pragma once

#include "glim/batch.h"
#include "glim/batch_builder.h"
#include "glim/channel.h"
#include "glim/files.h"
#include "glim/flow.h"
#include "glim/hash.h"
#include "glim/native.h"
#include "glim/partitioner.h"
#include "glim/session.h"
#include "glim/side_table.h"
#include "glim/status.h"
#include "glim/table.h"
#include "glim/text.h"
#include "glim/training.h"
#include "glim/udf.h"
