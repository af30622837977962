// Creates a segment that lives in a file and enrolls students in it. As the
// file is on a disk, they are still there after a reboot.
#include <cstdio>

#include "client/cpp/client.h"
#include "examples/students/student.h"

namespace {

absl::Status Enroll() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::SegmentSpec spec;
  spec.id = "students";
  spec.size_bytes = kStudents * sizeof(Student);
  spec.backend = shmd::BackendKind::kMappedFile;
  spec.file_path = "students.dat";  // below the daemon's --file_root
  absl::StatusOr<shmd::Segment> segment = client->Create(spec);
  if (!segment.ok()) return segment.status();

  absl::StatusOr<shmd::WritableAttached> memory =
      client->MapWritable(segment->handle);
  if (!memory.ok()) return memory.status();
  const absl::Span<Student> students = memory->As<Student>();
  for (int i = 0; i < kStudents; ++i) {
    students[i].id = i + 1;
    students[i].grade = 0;
    snprintf(students[i].name, sizeof(students[i].name), "Student %d", i + 1);
  }
  // Returns when the disk has it.
  return client->Flush("students");
}

}  // namespace

int main() {
  const absl::Status status = Enroll();
  if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
