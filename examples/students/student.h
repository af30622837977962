#ifndef SHMD_EXAMPLES_STUDENTS_STUDENT_H_
#define SHMD_EXAMPLES_STUDENTS_STUDENT_H_

#include <cstdint>

// What lies in the file: fixed sizes, no pointers, so that any program, of any
// language, finds the same bytes at the same places.
struct Student {
  uint32_t id;
  uint32_t grade;
  char name[56];
};
static_assert(sizeof(Student) == 64);

inline constexpr int kStudents = 100;

#endif  // SHMD_EXAMPLES_STUDENTS_STUDENT_H_
