// Finds the students by the segment's name, gives one of them a grade, or
// shows what is there.
//
//   grade ID GRADE      changes one record in place
//   grade               prints all students who have a grade
#include <cstdio>

#include "absl/strings/numbers.h"
#include "client/cpp/client.h"
#include "examples/students/student.h"

namespace {

absl::Status Grade(uint32_t id, uint32_t grade) {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<shmd::Segment> segment = client->Get("students");
  if (!segment.ok()) return segment.status();
  absl::StatusOr<shmd::WritableAttached> memory =
      client->MapWritable(segment->handle);
  if (!memory.ok()) return memory.status();
  for (Student& student : memory->As<Student>()) {
    if (student.id != id) continue;
    student.grade = grade;
    return client->Flush("students");
  }
  return absl::NotFoundError("there is no such student");
}

absl::Status Show() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<shmd::Segment> segment = client->Get("students");
  if (!segment.ok()) return segment.status();
  absl::StatusOr<shmd::ReadOnlyAttached> memory =
      client->MapReadOnly(segment->handle);
  if (!memory.ok()) return memory.status();
  for (const Student& student : memory->As<Student>()) {
    if (student.grade == 0) continue;
    printf("%u %.56s: %u\n", student.id, student.name, student.grade);
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  int id = 0;
  int grade = 0;
  if (argc != 1 && (argc != 3 || !absl::SimpleAtoi(argv[1], &id) ||
                    !absl::SimpleAtoi(argv[2], &grade))) {
    fprintf(stderr, "usage: grade [ID GRADE]\n");
    return 2;
  }
  const absl::Status status = argc == 1 ? Show() : Grade(id, grade);
  if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
